"""HTTP and the envelope: status line, bodies, content types, where parameters come from, unknown paths."""
import http.client
import json
import ssl

from lib import facts
from lib.tap import main, test


def raw(node, method, path, body=None, headers=None, with_login=True):
    """One request without requests' help: (status, reason, headers, body)."""
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("127.0.0.1", node.port, context=context, timeout=20)
    all_headers = dict(headers or {})
    if with_login:
        all_headers = {"Cookie": f"PVEAuthCookie={node.api.ticket}", "CSRFPreventionToken": node.api.csrf, **all_headers}
    connection.putrequest(method, "/api2/json" + path, skip_accept_encoding=True)
    for k, v in all_headers.items():
        connection.putheader(k, v)
    if body is not None and "Content-Length" not in all_headers:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, reply.reason, reply.headers, text


@test
def unknown_path_is_501(node):
    reply = node.api.refused("GET", "/no/such/thing", status=501)
    assert reply.message.startswith("Method 'GET /no/such/thing' not implemented"), reply.message


@test
def known_path_wrong_method_is_501(node):
    reply = node.api.refused("PUT", "/version", status=501)
    assert "Method 'PUT /version' not implemented" in reply.message


@test
def method_of_pve_that_does_not_exist_here_is_501(node):
    node.api.refused("GET", "/cluster/ceph/flags", status=501)


@test
def other_methods_are_refused(node):
    for method in ("PATCH", "TRACE", "BREW"):
        status, _, _, text = raw(node, method, "/version")
        assert status in (400, 405, 501), (method, status, text)


@test
def body_without_content_type_is_a_form(node):
    status, _, _, text = raw(node, "POST", "/access/groups", b"groupid=ct-none")
    assert status == 200, text
    node.api.delete("/access/groups/ct-none")


@test
def body_may_be_json(node):
    node.api.call("POST", "/access/groups", body_json={"groupid": "ct-json", "comment": "ä"})
    assert node.api.get("/access/groups/ct-json")["comment"] == "ä"
    node.api.delete("/access/groups/ct-json")


@test
def json_numbers_and_booleans_count(node):
    upid = node.api.call("POST", "/nodes/{node}/qemu", body_json={"vmid": 140, "cores": 2, "onboot": True}).data
    assert node.api.wait_task(upid) == "OK"
    config = node.api.get(node.vm(140, "/config"))
    assert config["cores"] == 2 and config["onboot"] == 1, config
    node.remove(140)


@test
def broken_json_is_refused(node):
    for body in (b"{", b"[1]", b'{"a":}', b'"x"'):
        status, _, _, text = raw(node, "POST", "/access/groups", body, {"Content-Type": "application/json"})
        assert status >= 400 and "data" in json.loads(text), (body, status, text)


@test
def other_content_types_are_refused(node):
    status, _, _, _ = raw(node, "POST", "/access/groups", b"<x/>", {"Content-Type": "text/xml"})
    assert status == 506, status


@test
def post_without_body_or_length_is_legal(node):
    node.create(141)
    status, _, _, text = raw(node, "POST", f"/nodes/{node.name}/qemu/141/status/stop")
    assert status in (200, 500), text  # a task; stopping a stopped guest may be refused, but not for its HTTP
    assert "length" not in text.lower(), text
    node.api.delete(node.vm(141))


@test
def content_on_delete_is_501(node):
    status, _, _, _ = raw(node, "DELETE", "/access/groups/none", b"x=1")
    assert status == 501, status


@test
def cookie_may_be_quoted_and_surrounded(node):
    from urllib.parse import quote
    for cookie in (f"a=b; PVEAuthCookie={quote(node.api.ticket, safe='')}; x=y",
                   f"PVEAuthCookie={node.api.ticket}; version=0; path=/; domain=localhost"):
        status, _, _, text = raw(node, "GET", "/version", headers={"Cookie": cookie}, with_login=False)
        assert status == 200, (cookie, text)


@test
def ticket_may_come_in_authorization(node):
    for form in (f"PVEAuthCookie={node.api.ticket}", f"PVEAuthCookie {node.api.ticket}"):
        status, _, _, text = raw(node, "GET", "/version", headers={"Authorization": form}, with_login=False)
        assert status == 200, (form, text)


@test
def csrf_token_is_needed_for_writes(node):
    headers = {"Cookie": f"PVEAuthCookie={node.api.ticket}"}
    status, reason, _, text = raw(node, "POST", "/access/groups", b"groupid=csrf", headers, with_login=False)
    assert status == 401 and reason.lower() == "permission denied - invalid csrf token", (status, reason, text)
    headers["CSRFPreventionToken"] = node.api.csrf[:-2] + "xx"
    assert raw(node, "POST", "/access/groups", b"groupid=csrf", headers, with_login=False)[0] == 401


@test
def dc_parameter_is_dropped(node):
    node.api.get("/version", _dc=1234567)


@test
def slashes_collapse(node):
    status, _, _, text = raw(node, "GET", "//version/")
    assert status == 200, text


@test
def unknown_parameter_is_named(node):
    node.api.refused("GET", "/version", {"nonsense": 1}, 400,
                     "property is not defined in schema and the schema does not allow additional properties", "nonsense")


@test
def path_and_body_must_agree(node):
    reply = node.api.refused("POST", "/nodes/{node}/qemu", {"vmid": 142, "node": "other"}, 400)
    assert "duplicate parameter" in reply.errors.get("node", ""), reply.errors


@test
def many_faults_are_all_named(node):
    reply = node.api.refused("POST", "/nodes/{node}/qemu", {"vmid": 1, "cores": "x", "onboot": 7}, 400)
    assert set(reply.errors) == {"vmid", "cores", "onboot"}, reply.errors
    assert reply.message == "Parameter verification failed.\n", reply.message


@test
def type_faults_have_pve_texts(node):
    rows = [({"cores": "x"}, "cores", "type check ('integer') failed - got 'x'"),
            ({"cores": 0}, "cores", "value must have a minimum value of 1"),
            ({"onboot": "maybe"}, "onboot", "type check ('boolean') failed - got 'maybe'"),
            ({"ostype": "plan9"}, "ostype", "value 'plan9' does not have a value in the enumeration"),
            ({"name": "a b"}, "name", "invalid format")]
    for more, param, text in rows:
        node.api.refused("POST", "/nodes/{node}/qemu", {"vmid": 143, **more}, 400, text, param)
    node.api.refused("POST", "/nodes/{node}/qemu", {}, 400, "property is missing and it is not optional", "vmid")


@test
def extjs_answers_200_with_success(node):
    url = node.url + "/api2/extjs/version"
    body = node.api.http.get(url).json()
    assert body["success"] == 1 and body["data"]["release"] == "9.2", body
    reply = node.api.http.get(node.url + "/api2/extjs/nodes/none/version")
    assert reply.status_code == 200 and reply.json()["success"] == 0, reply.text
    assert reply.json()["message"], reply.text


@test
def unknown_format_is_501(node):
    assert node.api.http.get(node.url + "/api2/yaml/version").status_code == 501


@test
def gzip_only_when_asked(node):
    assert raw(node, "GET", "/access/roles")[2].get("Content-Encoding") is None
    reply = node.api.http.get(node.url + "/api2/json/access/roles", headers={"Accept-Encoding": "gzip"})
    assert len(reply.text) > 1024 and reply.headers.get("Content-Encoding") == "gzip", reply.headers


@test
def connection_stays_after_success_and_closes_after_errors(node):
    assert raw(node, "GET", "/version")[2].get("Connection", "").lower() != "close"
    assert raw(node, "GET", "/none")[2].get("Connection", "").lower() == "close"


@test
def http2_is_never_offered(node):
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    import socket
    with context.wrap_socket(socket.create_connection(("127.0.0.1", node.port))) as s:
        assert s.selected_alpn_protocol() in ("http/1.1", None), s.selected_alpn_protocol()
        assert s.version() == "TLSv1.3", s.version()


@test
def checker_finds_planted_faults():
    """The checker itself: each planted fault of a reply is found, a right one passes."""
    good = '{"data":{"version":"9.2.1","release":"9.2","repoid":"0123abcd"}}'
    kind = "application/json;charset=UTF-8"
    assert facts.check_reply("GET", "/version", 200, "OK", kind, good) == []
    planted = [(kind, good.replace('"9.2.1"', "9")), (kind, good.replace('"9.2"', "null")),
               (kind, good.replace('"9.2"', "true")), (kind, good.replace(',"release":"9.2"', "")),
               (kind, good.replace('"version"', '"colour":"red","version"')), ("application/json", good), (kind, "{}"),
               (kind, good.replace("0123abcd", "xyz"))]
    for content_type, body in planted:
        assert facts.check_reply("GET", "/version", 200, "OK", content_type, body), body
    error = '{"data":null,"message":"no\\n"}'
    assert facts.check_reply("GET", "/version", 500, "no", kind, error) == []
    assert facts.check_reply("GET", "/version", 500, "Internal Server Error", kind, error)
    assert facts.check_reply("GET", "/version", 500, "no", kind, '{"data":1,"message":"no\\n"}')


if __name__ == "__main__":
    main()
