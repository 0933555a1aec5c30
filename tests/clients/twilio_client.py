"""Twilio's library, unchanged, against the simulator: sending, refusals, and the signature of its callbacks."""

import http.server
import sys
import threading
import urllib.parse

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

BASE = sys.argv[1]
ACCOUNT, TOKEN = "AC00000000000000000000000000000001", "simulated-twilio-auth-token"


class ToSimulator(TwilioHttpClient):
    """The library has no setting for its base URL."""

    def request(self, method, url, *args, **kwargs):
        return super().request(method, BASE + urllib.parse.urlsplit(url).path, *args, **kwargs)


heard, came = [], threading.Event()


class Callbacks(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
        url = f"http://127.0.0.1:{self.server.server_port}{self.path}"
        genuine = RequestValidator(TOKEN).validate(url, form, self.headers["X-Twilio-Signature"])
        forged = RequestValidator("another").validate(url, form, self.headers["X-Twilio-Signature"])
        heard.append((form["MessageStatus"], genuine, forged))
        if form["MessageStatus"] == "delivered":
            came.set()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Callbacks)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = Client(ACCOUNT, TOKEN, http_client=ToSimulator())
callback = f"http://127.0.0.1:{server.server_port}/hook?token=a"
sent = client.messages.create(to="+33639981201", from_="+33757000001", body="Bonjour", status_callback=callback)
assert sent.sid.startswith("SM") and sent.status == "queued", sent
assert came.wait(30), heard
assert all(genuine and not forged for _, genuine, forged in heard), heard
try:
    client.messages.create(to="12", from_="+33757000001", body="Bonjour")
    raise SystemExit("a number that is none was taken")
except TwilioRestException as refused:
    assert refused.code == 21211, refused
print("twilio:", [status for status, *_ in heard])
