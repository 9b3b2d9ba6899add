"""The harness's HTTP client: one user's session to a holmd, every reply checked against PVE's facts and recorded."""
import json
import re
import time
import warnings

import requests

from lib import facts

warnings.filterwarnings("ignore", message="Unverified HTTPS request")


# Replies that broke PVE's contract, once each; the runner fails the file with them at its end.
COMPLAINTS = {}


def note_complaints(method, path, status, complaints):
    for text in complaints:
        key = (method, facts.template_of(path) or path, re.sub(r"\[\d+\]", "[]", text.split(": ")[0]), text.split(" ")[-1])
        COMPLAINTS.setdefault(key, f"{method} {path} -> {status}: {text}")


class ApiError(Exception):
    def __init__(self, reply):
        super().__init__(f"{reply.status} {reply.reason} {reply.errors or ''}")
        self.reply = reply


class Reply:
    """status, reason, data, message, errors, total, headers of one answer."""

    def __init__(self, response):
        self.status = response.status_code
        self.reason = response.reason
        self.headers = response.headers
        self.text = response.text
        try:
            body = json.loads(self.text)
        except ValueError:
            body = {}
        self.body = body if isinstance(body, dict) else {}
        self.data = self.body.get("data")
        self.message = self.body.get("message", "")
        self.errors = self.body.get("errors", {})
        self.total = self.body.get("total")


class Client:
    """Session of a user (ticket) or a token ("user@realm!id", secret); with neither, of nobody."""

    def __init__(self, base, node, user=None, password=None, token=None):
        self.base, self.node, self.user = base, node, user
        self.http = requests.Session()
        self.http.verify = False
        self.http.trust_env = False
        self.ticket = self.csrf = None
        self.token = token
        if token:
            self.http.headers["Authorization"] = f"PVEAPIToken={token[0]}={token[1]}"
        elif user:
            self.login(password)

    def login(self, password):
        data = self.post("/access/ticket", username=self.user, password=password)
        self.ticket, self.csrf = data["ticket"], data["CSRFPreventionToken"]
        self.http.headers["Cookie"] = f"PVEAuthCookie={self.ticket}"
        self.http.headers["CSRFPreventionToken"] = self.csrf
        return data

    def url(self, path):
        return f"{self.base}/api2/json{path.replace('{node}', self.node)}"

    def call(self, method, path, params=None, body_json=None, headers=None, files=None):
        """One request; what breaks PVE's contract in the reply is noted."""
        path = path.replace("{node}", self.node)
        in_query = method in ("GET", "DELETE")
        options = {"params": params if in_query else None, "data": None if in_query else params, "json": body_json,
                   "headers": headers, "files": files, "timeout": 60}
        try:
            response = self.http.request(method, self.url(path), **options)
        except requests.exceptions.SSLError:  # nothing was asked yet: a busy machine was too slow for the handshake
            response = self.http.request(method, self.url(path), **options)
        if "Content-Length" in response.headers and len(response.content) < int(response.headers["Content-Length"]) and \
                "Content-Encoding" not in response.headers:
            raise requests.ConnectionError("the reply was cut off")
        is_dry_run = bool((params or body_json or {}).get("dry-run"))
        complaints = facts.check_reply(method, path, response.status_code, response.reason,
                                       response.headers.get("Content-Type"), response.text, is_dry_run)
        if not is_dry_run:
            facts.record(method, path, response.status_code, complaints)
        note_complaints(method, path, response.status_code, complaints)
        return Reply(response)

    def _data(self, method, path, params):
        reply = self.call(method, path, params)
        if reply.status >= 400:
            raise ApiError(reply)
        return reply.data

    def get(self, path, /, params=None, **more):
        return self._data("GET", path, {**(params or {}), **more})

    def post(self, path, /, params=None, **more):
        return self._data("POST", path, {**(params or {}), **more})

    def put(self, path, /, params=None, **more):
        return self._data("PUT", path, {**(params or {}), **more})

    def delete(self, path, /, params=None, **more):
        return self._data("DELETE", path, {**(params or {}), **more})

    def refused(self, method, path, params=None, status=None, text=None, param=None):
        """The call must be refused: with this status, with text in the message (or in errors[param])."""
        reply = self.call(method, path, params)
        assert reply.status >= 400, f"{method} {path} {params} was accepted: {reply.data!r}"
        if status:
            assert reply.status == status, f"{method} {path}: {reply.status} {reply.reason}, not {status}"
        if param:
            assert param in reply.errors, f"{method} {path}: errors {reply.errors} without {param}"
            assert not text or text in reply.errors[param], f"errors[{param}] = {reply.errors[param]!r}, not {text!r}"
        elif text:
            assert text in reply.message, f"{method} {path}: message {reply.message!r} without {text!r}"
        return reply

    def task_status(self, upid):
        return self.get(f"/nodes/{{node}}/tasks/{upid}/status")

    def task_log(self, upid):
        return [line["t"] for line in self.get(f"/nodes/{{node}}/tasks/{upid}/log", limit=0)]

    def wait_task(self, upid, timeout=30):
        """Waits for the end and returns exitstatus."""
        deadline = time.monotonic() + timeout
        while True:
            status = self.task_status(upid)
            if status["status"] == "stopped":
                return status["exitstatus"]
            if time.monotonic() > deadline:
                raise AssertionError(f"task {upid} still runs after {timeout} s: {self.task_log(upid)[-5:]}")
            time.sleep(0.02)

    def outcome(self, method, path, params=None, timeout=30):
        """How a call ends that may be refused at once or fail as a task: "OK" or the error's text."""
        reply = self.call(method, path, params)
        if reply.status >= 400:
            return reply.message.rstrip("\n")
        return self.wait_task(reply.data, timeout) if isinstance(reply.data, str) else "OK"

    def run(self, method, path, /, params=None, timeout=30, **more):
        """A call that answers a UPID, waited for; the task must end OK. Returns the UPID."""
        upid = self._data(method, path, {**(params or {}), **more})
        assert isinstance(upid, str) and upid.startswith("UPID:"), f"{method} {path} answered {upid!r}"
        status = self.wait_task(upid, timeout)
        assert status == "OK" or status.startswith("WARNINGS"), f"{method} {path}: {status} {self.task_log(upid)}"
        return upid
