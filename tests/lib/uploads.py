"""Uploads in pieces, as a client makes them."""
import hashlib
import os
import re

from lib import facts, raw
from lib.client import Reply, note_complaints

PATH = "/nodes/{node}/storage/local/uploads"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def begin(node, name, size, client=None, content="iso", **more):
    return (client or node.api).post(PATH, {"content": content, "filename": name, "size": size, **more})


def put(node, upload, offset, data, client=None, headers=None):
    """One piece; the Reply."""
    client = client or node.api
    path = f"{PATH}/{upload}".replace("{node}", node.name)
    response = client.http.put(client.url(path), params={"offset": offset}, data=data, timeout=60,
                               headers={"Content-Type": "application/octet-stream", **(headers or {})})
    complaints = facts.check_reply("PUT", path, response.status_code, response.reason,
                                   response.headers.get("Content-Type"), response.text, False)
    facts.record("PUT", path, response.status_code, complaints)
    note_complaints("PUT", path, response.status_code, complaints)
    return Reply(response)


def begin_piece(node, upload, offset, size, data):
    """A connection on which a piece of `size` bytes has begun, and `data` of it is on the way."""
    s = raw.connect(node)
    s.sendall(f"PUT /api2/json/nodes/{node.name}/storage/local/uploads/{upload}?offset={offset} HTTP/1.1\r\n"
              f"Content-Type: application/octet-stream\r\nContent-Length: {size}\r\n{raw.auth(node)}\r\n".encode() + data)
    return s


def folder(node, content="iso"):
    return node.path("var/storage/local", {"iso": "template/iso", "vztmpl": "template/cache"}.get(content, content))


def parts(node, content="iso"):
    """The files of unfinished uploads: id -> path."""
    where = folder(node, content)
    names = os.listdir(where) if os.path.isdir(where) else []
    found = [re.fullmatch(r"\.upload-([0-9a-f]{32})\.part", n) for n in names]
    return {m.group(1): os.path.join(where, m.group(0)) for m in found if m}


def file(node, name, content="iso"):
    """What a volume holds; None if there is none."""
    try:
        with open(os.path.join(folder(node, content), name), "rb") as f:
            return f.read()
    except FileNotFoundError:
        return None
