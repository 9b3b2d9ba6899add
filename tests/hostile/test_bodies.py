"""Bodies of strangers: JSON, forms and multipart that are deep, wide, doubled, damaged or without end. Each is refused
or taken as what it says, for little processor time and memory."""
import json
import math
import urllib.parse

from lib.honest import Beside, Watch
from lib.holm import is_sanitized
from lib.raw import auth, connect, is_closed, read_all, statuses
from lib.tap import main, test

BODY_MAX = 512 * 1024
# Processor seconds that holm-front and holmd together may spend on one body.
CPU_MAX = 0.6 if is_sanitized() else 0.06


def send(node, path, content_type, body, length=None, timeout=8):
    """Status of the reply (0: closed without one), and the reply."""
    head = f"POST /api2/json{path} HTTP/1.1\r\n{auth(node)}Content-Type: {content_type}\r\n" \
           f"Content-Length: {len(body) if length is None else length}\r\nConnection: close\r\n\r\n"
    with connect(node) as s:
        try:
            s.sendall(head.encode() + body)
        except OSError:
            pass  # refused before the end
        got = read_all(s, timeout)
        assert is_closed(s), (path, body[:60], got)
    codes = statuses(got)
    assert len(codes) <= 1, got[:300]
    return codes[0] if codes else 0, got


def groups(node):
    return {g["groupid"]: g.get("comment") for g in node.api.get("/access/groups")}


def refused_cheaply(node, watch, content_type, body, path="/access/groups", status=None):
    before = watch.cpu()
    code, got = send(node, path, content_type, body)
    spent = watch.cpu() - before
    assert code == 0 or code >= 400, (content_type, body[:80], code, got[-200:])
    assert status is None or code in (status if isinstance(status, tuple) else (status,)), (body[:80], code, got[-200:])
    assert spent <= CPU_MAX, (content_type, body[:80], len(body), f"{spent:.2f} s")
    return spent


def json_rows():
    keys = b",".join(b'"%x":1' % i for i in range(40000))
    wide = b",".join(b'"k%d":1' % i for i in range(1000000))
    return [b"[" * 100000, b'{"a":' * 100000, b'{"groupid":' + b"[" * 100000 + b"]" * 100000 + b"}", b"{" + keys + b"}", b"{" + wide + b"}",
            b"{" + b",".join(b'"groupid":"same%d"' % i for i in range(20000)) + b"}", b'{"groupid":"dup-a","groupid":"dup-b"}',
            b'{"groupid":"dup-a","\\u0067roupid":"dup-b"}', b'{"groupid":[' + b",".join([b'"x"'] * 100000) + b"]}", b'{"groupid":{"a":"b"}}',
            b'{"groupid":"bad","comment":1e999}', b'{"groupid":"bad","comment":-1e999}', b'{"groupid":"bad","comment":' + b"9" * 400000 + b"}",
            b'{"groupid":"bad","comment":1e-' + b"9" * 100000 + b"x}", b'{"groupid":"bad","comment":0.' + b"1" * 100000 + b"e}",
            b'{"groupid":"bad","comment":NaN}', b'{"groupid":"bad","comment":Infinity}', b'{"groupid":"bad","comment":nan}',
            b'{"groupid":"bad","comment":0x10}', b'{"groupid":"bad","comment":01}', b'{"groupid":"bad","comment":+1}',
            b'{"groupid":"bad","comment":"\\ud800"}', b'{"groupid":"bad","comment":"\\udc00\\ud800"}', b'{"groupid":"bad","comment":"\\ud800x"}',
            b'{"groupid":"bad","comment":"\xed\xa0\x80"}', b'{"groupid":"bad","comment":"\xff"}', b'{"groupid":"bad","comment":"\xc0\x80"}',
            b'{"groupid":"bad","comment":"\xf4\x90\x80\x80"}', b'{"groupid":"bad","comment":"\xe2\x82"}', b'{"groupid":"bad\xc0\xaf"}',
            b'{"groupid":"bad","comment":"\\u0000"}', b'{"groupid":"bad\\u0000x"}', b'{"group\\u0000id":"bad"}', b'{"groupid":"bad","comment":"a\0b"}',
            b'{"groupid":"bad","comment":"\x01"}', b'{"groupid":"bad","comment":"a\nb"}', b'{"groupid":"bad"}\0', b'{"groupid":"bad"}{"groupid":"worse"}',
            b'{"groupid":"bad"} x', b'\xef\xbb\xbf{"groupid":"bad"}', b"\xff\xfe{\0}\0", b'{"groupid":"bad",}', b"{'groupid':'bad'}", b"{groupid:1}",
            b'/* */{"groupid":"bad"}', b'"groupid=bad"', b"[]", b"null", b"true", b"1", b"{", b'{"', b'{"a', b'{"a":"\\', b'{"a":"\\u', b'{"a":"' + b"\\" * 300001,
            b'{"":"x","groupid":"bad"}', b'{"' + b"k" * 257 + b'":1,"groupid":"bad"}', b'{"__proto__":{"a":1},"groupid":"bad"}', b" " * 400000,
            b'{"groupid":"' + b"x" * 400000 + b'"}', b'{"groupid":"' + b'\\"' * 200000 + b'"}', b'{"groupid":true}' * 20]


@test(limit=120)
def json_of_strangers(node):
    watch = Watch(node)
    before = groups(node)
    with Beside(node) as honest:
        spent = [refused_cheaply(node, watch, "application/json", body) for body in json_rows()]
        honest.enough()
    print(f"{len(spent)} JSON bodies, at most {max(spent):.2f} s of processor time with the honest client's")
    assert groups(node) == before


@test
def json_is_taken_as_it_says(node):
    """The same door lets the right ones in."""
    text = "ä\u20ac\U0001f600\"\\/\t"
    body = json.dumps({"groupid": "good-json", "comment": text}).encode()
    assert send(node, "/access/groups", "application/json", body)[0] == 200
    assert groups(node)["good-json"] == text
    node.api.delete("/access/groups/good-json")


@test
def numbers_keep_their_value_or_are_refused(node):
    """vmid and the like: a number outside the range, or none, is never rounded into it."""
    for value in ("1e2", "100.0", "100.5", "1e999", "-100", "99999999999999999999", "4294967396", "18446744073709551716", "1e400", '"100\\u0000"',
                  '"0x64"', '" 100"', '"100 "', '"1e2"', "true", "null", "[]", "[100,101]"):
        body = f'{{"vmid":{value},"memory":64,"dry-run":1}}'.encode()
        code, got = send(node, f"/nodes/{node.name}/qemu", "application/json", body)
        assert code in (400, 500, 501) or (code == 200 and value in ("1e2", "100.0")), (value, code, got[-200:])
    assert math.isclose(float(node.api.get("/cluster/nextid")), 100)


def form_rows():
    return [(b"&".join(b"k%d=v" % i for i in range(60000))[:BODY_MAX], 400), (b"&".join([b"groupid=bad"] * 40000), 400), (b"a=" * 200000, None),
            (b"groupid=bad%00", 400), (b"groupid=bad&comment=%00", 400), (b"group%00id=bad", 400), (b"groupid=bad&comment=\0", 400), (b"groupid=bad&comment=%", 400),
            (b"groupid=bad&comment=%2", 400), (b"groupid=bad&comment=%zz", 400), (b"groupid=bad&comment=%u0041", 400), (b"groupid=bad&comment=%ff", 400),
            (b"groupid=bad&comment=%c0%80", 400), (b"groupid=bad&comment=%ed%a0%80", 400), (b"groupid=bad&comment=\xff", 400), (b"=x&groupid=bad", 400),
            (b"k" * 257 + b"=x&groupid=bad", 400), (b"%" * 400000, 400), (b"&" * 400000, 400), (b";" * 400000, 400), (b"=" * 400000, 400), (b"x" * (BODY_MAX + 1), 501),
            (b"%41" * 170000, 400), (b"groupid=" + b"%61" * 170000, 400), (b"groupid=bad&groupid=worse", 400), (b"groupid[]=bad", 400), (b"groupid=bad&x=" + b"+" * 400000, 400)]


@test(limit=90)
def forms_of_strangers(node):
    watch = Watch(node)
    before = groups(node)
    kind = "application/x-www-form-urlencoded"
    with Beside(node) as honest:
        spent = [refused_cheaply(node, watch, kind, body, status=status) for body, status in form_rows()]
        honest.enough()
    print(f"{len(spent)} forms, at most {max(spent):.2f} s of processor time with the honest client's")
    assert groups(node) == before


@test
def query_and_body_agree(node):
    """A parameter given twice, in two places or two spellings, is not silently one of them."""
    before = groups(node)
    for path, body in (("/access/groups?groupid=two-a", b"groupid=two-b"), ("/access/groups?groupid=two-a&groupid=two-b", b""),
                       ("/access/groups?group%69d=two-a", b"groupid=two-b")):
        code, got = send(node, path, "application/x-www-form-urlencoded", body)
        assert code >= 400, (path, body, got[-200:])
    assert groups(node) == before
    node.api.post("/access/groups", groupid="two-kept")
    body = urllib.parse.urlencode({"groupid": "two-other", "comment": "x"}).encode()
    reply = node.api.http.put(node.api.url("/access/groups/two-kept"), data=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert reply.status_code == 400, reply.text
    node.api.delete("/access/groups/two-kept")


def part(name, value=b"x", file_name=None, more=b"", end=b"\r\n"):
    disposition = b'Content-Disposition: form-data; name="%s"' % name + (b'; filename="%s"' % file_name if file_name is not None else b"")
    return b"--b\r\n" + disposition + b"\r\n" + more + b"\r\n" + value + end


def multipart_rows():
    content, end = part(b"content", b"iso"), b"--b--\r\n"
    file = part(b"filename", b"data", b"bad.iso")
    return [b"".join(part(b"k%d" % i) for i in range(5000)) + file + end, b"".join(part(b"content", b"iso") for _ in range(70)) + file + end,
            content + file, content + file[:-2], content + part(b"filename", b"data", b"bad.iso", end=b""), content + end, end, b"--b--", b"", b"\r\n" * 50000,
            content + part(b"filename", b"--b\r\n--b--", b"bad.iso") + end + b"epilogue", b"preamble" + content + file + end, content + file + file + end,
            file + content + end, content + part(b"other", b"x", b"bad.iso") + end, content + part(b"filename", b"x") + end, content + file + content + end,
            content + part(b"filename", b"x", b"") + end, content + part(b"filename", b"x", b"../../bad.iso\0") + end, content + part(b"filename", b"x", b"bad\xff.iso") + end,
            content + part(b"filename", b"x", b"bad.iso", b"Content-Transfer-Encoding: base64\r\n") + end,
            content + part(b"filename", b"x", b"bad.iso", b"Content-Disposition: form-data; name=\"filename\"; filename=\"worse.iso\"\r\n") + end,
            content + part(b"filename", b"x", b"bad.iso", b"X: " + b"a" * 70000 + b"\r\n") + end, content + part(b"filename", b"x", b"bad.iso", b"folded:\r\n x\r\n") + end,
            content + part(b"filename", b"x", b"bad.iso", b"no colon\r\n") + end, content + part(b"c" * 5000, b"x") + file + end, content + part(b"", b"x") + file + end,
            content + b"--b\r\nContent-Disposition: form-data; name=filename; filename*=UTF-8''bad.iso\r\n\r\nx\r\n" + end,
            content + b"--b\r\nContent-Disposition: form-data; name=\"filename\"; name=\"content\"; filename=\"bad.iso\"\r\n\r\nx\r\n" + end,
            content + b"--b\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"bad.iso\"; filename=\"worse.iso\"\r\n\r\nx\r\n" + end,
            content + b"--b\r\nContent-Disposition: attachment; name=\"filename\"; filename=\"bad.iso\"\r\n\r\nx\r\n" + end,
            content + b"--b\r\n\r\nx\r\n" + end, content + b"--b\nContent-Disposition: form-data; name=\"filename\"; filename=\"bad.iso\"\n\nx\n--b--\n",
            content + b"--bb\r\n" + file + b"--c--\r\n", b"--b" * 100000, b"\r\n--" * 100000, b"\r" * 400000,
            part(b"content", b"iso\0") + file + end, part(b"content", b"\xff") + file + end, part(b"content", b"x" * 70000) + file + end,
            part(b"content", b"images") + file + end, part(b"content", b"iso/../../..") + file + end]


@test(limit=120)
def multipart_of_strangers(node):
    watch = Watch(node)
    path = f"/nodes/{node.name}/storage/local/upload"
    before = node.api.get("/nodes/{node}/storage/local/content")
    with Beside(node) as honest:
        spent = [refused_cheaply(node, watch, "multipart/form-data; boundary=b", body, path) for body in multipart_rows()]
        good = part(b"content", b"iso") + part(b"filename", b"x", b"bad.iso") + b"--b--\r\n"
        for kind in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 71, "multipart/form-data; boundary=b c",
                     "multipart/form-data; boundary=\"b\\\"\"", "multipart/form-data; boundary=c", "multipart/form-data; boundary=b; boundary=c",
                     "multipart/form-data; boundary=\x01", "multipart/mixed; boundary=b", "multipart/form-datax; boundary=b", "multipart/form-data,boundary=b"):
            spent.append(refused_cheaply(node, watch, kind, good, path))
        honest.enough()
    print(f"{len(spent)} multipart bodies, at most {max(spent):.2f} s of processor time with the honest client's")
    assert node.api.get("/nodes/{node}/storage/local/content") == before
    assert send(node, path, "multipart/form-data; boundary=b", good.replace(b"bad", b"good"))[0] == 200
    assert [v["volid"] for v in node.api.get("/nodes/{node}/storage/local/content", content="iso")] == ["local:iso/good.iso"]


if __name__ == "__main__":
    main()
