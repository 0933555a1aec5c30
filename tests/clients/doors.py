"""What the clients' tests share: the simulator's own door, the host's API, and a listener for webhooks."""

import http.server
import json
import queue
import threading
import time
import urllib.error
import urllib.request

# Long enough for two busy cores; reached only when a test fails.
PATIENCE_S = 60
PAUL = "+33639981201"


def call(method, url, body=None, headers=None):
    """Status and JSON (or text) of an answer, whatever it is."""
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers or {}, method=method)
    if isinstance(body, (dict, list)) and "content-type" not in {name.lower() for name in headers or {}}:
        request.add_header("content-type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        status, text = refused.code, refused.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def until(what, look):
    """What `look` gives once it is something."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit(f"{what}: not after {PATIENCE_S} s")


class Simulator:
    def __init__(self, base):
        self.base = base

    def do(self, method, path, body=None):
        status, said = call(method, f"{self.base}/sim/{path}", body)
        assert status < 300, (method, path, status, said)
        return said

    def phone(self, number, **fields):
        return self.do("PUT", f"phones/{number}", fields)

    def write(self, number, **what):
        return self.do("POST", f"phones/{number}/write", what)

    def tap(self, number, button):
        return self.do("POST", f"phones/{number}/tap", {"button": button})

    def shown(self, number, channel="whatsapp"):
        """What the phone shows: contents of what was sent to it, oldest first."""
        thread = self.do("GET", f"phones/{number}/thread")
        return [entry["content"] for entry in thread[channel] if not entry["from_phone"]]


class Listener:
    """Takes posts and gives them out in their order: path, headers and raw body. `answer` may answer a GET."""

    def __init__(self, answer=None):
        self.posts = queue.Queue()
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                listener.posts.put((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.reply(200, b"")

            def do_GET(self):
                status, text = answer(self.path) if answer else (404, "")
                self.reply(status, text.encode())

            def reply(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        return self.posts.get(timeout=PATIENCE_S)
