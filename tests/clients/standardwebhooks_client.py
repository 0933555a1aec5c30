"""The standardwebhooks library for Python, unchanged: it signs what a plugin's trigger takes."""

import datetime
import json
import sys
import uuid

from standardwebhooks import Webhook

from doors import call

HOST, TOKEN, SECRET = sys.argv[1:4]
URL = f"{HOST}/v1/triggers/order-ready/shop"
KEY = {"authorization": f"Bearer {TOKEN}"}


def post(body, id, signature, when):
    headers = {
        "content-type": "application/json", "webhook-id": id, "webhook-timestamp": str(int(when.timestamp())), "webhook-signature": signature,
    }
    return call("POST", URL, body.encode(), headers)


now = datetime.datetime.now(datetime.timezone.utc)
body = json.dumps({"order": f"py-{uuid.uuid4()}", "customer": "zoe", "shop": "Au Pain Doré"}, ensure_ascii=False)
id = f"msg_{uuid.uuid4().hex}"
signed = Webhook(SECRET).sign(id, now, body)
status, taken = post(body, id, signed, now)
assert status == 202 and not taken["duplicate"], (status, taken)
# The id is the same in every retry, whose time is another.
later = now + datetime.timedelta(seconds=5)
status, again = post(body, id, Webhook(SECRET).sign(id, later, body), later)
assert status == 202 and again["duplicate"] and again["id"] == taken["id"], again
status, event = call("GET", f"{HOST}/v1/events/{taken['id']}", headers=KEY)
assert event["source_id"] == id and event["data"]["shop"] == "Au Pain Doré" and event["customer"] == "zoe", event

# While a secret is exchanged, both sign.
other = Webhook("whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldA==")
both = f"{other.sign('msg_two', now, body)} v1a,unknown {Webhook(SECRET).sign('msg_two', now, body)}"
assert post(body, "msg_two", both, now)[0] == 202
old = now - datetime.timedelta(minutes=6)
for wrong in (
    post(body, id, other.sign(id, now, body), now),
    post(body + " ", id, signed, now),
    post(body, "msg_three", signed, now),
    post(body, id, Webhook(SECRET).sign(id, old, body), old),
):
    assert wrong[0] == 401 and wrong[1]["field"] == "signature", wrong
print("standardwebhooks (python): signed for a trigger")
