"""A browser's session in a cookie that no script can read, and where the rule about foreign pages applies."""
from urllib.parse import unquote

import requests

from lib.holm import PASSWORD
from lib.tap import main, test

NAME = "__Host-HolmAuthCookie"


def log_in(node):
    """Raw reply: how many Set-Cookie lines there are matters."""
    return requests.post(node.nobody().url("/access/ticket"), verify=False, timeout=30,
                         data={"username": "admin@pve", "password": PASSWORD, "cookie": 1})


def session(node, cookie, csrf=None):
    """A client that sends nothing but what a browser would."""
    client = node.nobody()
    client.http.headers["Cookie"] = cookie
    if csrf:
        client.http.headers["CSRFPreventionToken"] = csrf
    return client


@test
def cookie_login_sets_the_cookie_and_hides_the_ticket(node):
    reply = node.nobody().call("POST", "/access/ticket", {"username": "admin@pve", "password": PASSWORD, "cookie": 1})
    assert reply.status == 200 and "ticket" not in reply.data and reply.data["CSRFPreventionToken"], reply.data
    assert "PVE:admin" not in reply.text
    raw = log_in(node)
    lines = [v for k, v in raw.raw.headers.items() if k.lower() == "set-cookie"]
    assert len(lines) == 1, lines
    value, *rules = lines[0].split("; ")
    assert sorted(rules) == ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"], rules
    name, _, ticket = value.partition("=")
    assert name == NAME and unquote(ticket).startswith("PVE:admin@pve:") and not set(ticket) & set(':@/+= ";,'), value
    user = session(node, value, raw.json()["data"]["CSRFPreventionToken"])
    assert any(u["userid"] == "admin@pve" for u in user.get("/access/users"))
    user.post("/access/groups", groupid="bycookie")
    user.delete("/access/groups/bycookie")


@test
def login_without_the_wish_sets_no_cookie(node):
    for cookie in ({}, {"cookie": 0}):
        reply = node.nobody().call("POST", "/access/ticket", {"username": "admin@pve", "password": PASSWORD, **cookie})
        assert reply.data["ticket"] and "Set-Cookie" not in reply.headers


@test
def refused_login_sets_no_cookie(node):
    reply = node.nobody().call("POST", "/access/ticket", {"username": "admin@pve", "password": "wrong", "cookie": 1})
    assert reply.status == 401 and "Set-Cookie" not in reply.headers
    assert node.nobody().call("POST", "/access/ticket", {"username": "admin@pve", "password": PASSWORD,
                                                         "cookie": "perhaps"}).status == 400


@test
def cookie_writes_need_the_csrf_token(node):
    value = log_in(node).headers["Set-Cookie"].split(";")[0]
    assert session(node, value).call("POST", "/access/groups", {"groupid": "nocsrf"}).status == 401


@test
def our_cookie_counts_before_the_other(node):
    """Whoever can plant a PVEAuthCookie (another port, a sibling host) does not choose who one is."""
    value = log_in(node).headers["Set-Cookie"].split(";")[0]
    for cookies in (f"PVEAuthCookie=PVE:nobody@pve:00000000::AAAA; {value}", f"{value}; PVEAuthCookie=x"):
        assert session(node, cookies).get("/access/users")
    assert session(node, f"PVEAuthCookie={node.api.ticket}; {NAME}=PVE:no@pve:00000000::AA").call(
        "GET", "/access/users").status == 401


@test
def logout_clears_the_cookie(node):
    value = log_in(node).headers["Set-Cookie"].split(";")[0]
    reply = session(node, value).call("DELETE", "/access/ticket")
    assert reply.status == 200 and reply.data is None, reply.text
    cleared = reply.headers["Set-Cookie"].split("; ")
    assert cleared[0] == NAME + "=" and "Max-Age=0" in cleared and "Secure" in cleared and "Path=/" in cleared, cleared
    assert node.nobody().call("DELETE", "/access/ticket").status == 200  # nothing to clear: no matter
    node.nobody().refused("DELETE", "/access/ticket", {"x": 1}, 400, param="x")


@test
def a_session_is_renewed(node):
    """The page cannot read the ticket, so it cannot send it as a password."""
    raw = log_in(node)
    value, csrf = raw.headers["Set-Cookie"].split(";")[0], raw.json()["data"]["CSRFPreventionToken"]
    reply = session(node, value, csrf).call("PUT", "/access/ticket")
    assert reply.status == 200 and sorted(reply.data) == ["CSRFPreventionToken", "username"], reply.text
    assert reply.data["username"] == "admin@pve" and "ticket" not in reply.data
    cookie = reply.headers["Set-Cookie"]
    assert cookie.startswith(NAME + "=") and cookie.endswith("; Path=/; Secure; HttpOnly; SameSite=Strict"), cookie
    renewed = session(node, cookie.split(";")[0], reply.data["CSRFPreventionToken"])
    renewed.post("/access/groups", groupid="renewed")
    renewed.delete("/access/groups/renewed")
    for client, status in ((session(node, value), 401), (node.nobody(), 401), (session(node, NAME + "=x", csrf), 401)):
        reply = client.call("PUT", "/access/ticket")
        assert reply.status == status and "Set-Cookie" not in reply.headers, (status, reply.status)
    reply = node.api.call("PUT", "/access/ticket", headers={"Cookie": "", "Authorization": f"PVEAuthCookie={node.api.ticket}"})
    assert reply.status == 400 and "Set-Cookie" not in reply.headers, reply.text
    foreign = session(node, value, csrf).call("PUT", "/access/ticket", headers={"Origin": "https://evil.example"})
    assert foreign.status == 403 and "Set-Cookie" not in foreign.headers


@test
def other_sites_neither_log_in_nor_out(node):
    """A form on another site may post a name and a password: its visitor would go on as somebody else."""
    for origin in ("https://evil.example", "null", node.url.replace("https", "http")):
        for method, params in (("POST", {"username": "admin@pve", "password": PASSWORD, "cookie": 1}), ("DELETE", {})):
            reply = node.nobody().call(method, "/access/ticket", params, headers={"Origin": origin})
            assert reply.status == 403 and "Set-Cookie" not in reply.headers, (origin, method, reply.status)
    own = {"Origin": node.url}
    assert "Set-Cookie" in node.nobody().call("POST", "/access/ticket", {"username": "admin@pve", "password": PASSWORD,
                                                                        "cookie": 1}, headers=own).headers
    # Without the cookie there is nothing that a browser would keep: as Proxmox VE has it.
    assert node.nobody().call("POST", "/access/ticket", {"username": "admin@pve", "password": PASSWORD},
                              headers={"Origin": "https://evil.example"}).status == 200


@test
def origin_counts_for_cookies_only(node):
    """A page of another site can make a browser send a cookie, never a header: tickets in Authorization and tokens are
    exempt from the rule, both cookies are not."""
    value = log_in(node)
    csrf = value.json()["data"]["CSRFPreventionToken"]
    foreign = {"Origin": "https://evil.example"}
    for cookie in (value.headers["Set-Cookie"].split(";")[0], f"PVEAuthCookie={node.api.ticket}"):
        user = session(node, cookie, csrf)
        reply = user.call("POST", "/access/groups", {"groupid": "foreign"}, headers=foreign)
        assert reply.status == 403, (cookie[:20], reply.status)
        assert user.call("POST", "/access/groups", {"groupid": "foreign"}, headers={"Origin": node.url}).status == 200
        node.api.delete("/access/groups/foreign")
    client = node.nobody()
    client.http.headers.update({"Authorization": f"PVEAuthCookie={node.api.ticket}", "CSRFPreventionToken": node.api.csrf})
    assert client.call("POST", "/access/groups", {"groupid": "header"}, headers=foreign).status == 200
    node.api.delete("/access/groups/header")
    # The cookie decides when both are there: the browser sent it.
    client.http.headers["Cookie"] = f"PVEAuthCookie={node.api.ticket}"
    assert client.call("POST", "/access/groups", {"groupid": "both"}, headers=foreign).status == 403


if __name__ == "__main__":
    main()
