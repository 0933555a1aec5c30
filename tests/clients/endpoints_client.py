"""The standardwebhooks library for Python, unchanged, verifying what this host posts: also after the secret was exchanged."""

import sys

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from doors import Listener, call

HOST, TOKEN = sys.argv[1:3]
KEY = {"authorization": f"Bearer {TOKEN}"}
listener = Listener()


def api(method, path, body=None):
    status, said = call(method, f"{HOST}/v1/endpoints{path}", body, KEY)
    assert status < 300, (method, path, status, said)
    return said


def told(*secrets):
    """The next webhook, genuine by each of these secrets and by no other."""
    _, headers, body = listener.next()
    for secret in secrets:
        said = Webhook(secret).verify(body, headers)
    for wrong in (lambda: Webhook("whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldA==").verify(body, headers), lambda: Webhook(secrets[0]).verify(body + b" ", headers)):
        try:
            wrong()
            raise SystemExit("what is forged was taken")
        except WebhookVerificationError:
            pass
    return said, headers["webhook-id"]


made = api("POST", "", {"url": f"{listener.url}/relais", "types": ["relais.endpoint.test", "relais.message.*"]})
api("POST", f"/{made['id']}/test")
said, id = told(made["secret"])
assert said["type"] == "relais.endpoint.test" and said["timestamp"], said
rotated = api("POST", f"/{made['id']}/rotate", {"keep_s": 600})
api("POST", f"/{made['id']}/test")
again, other = told(made["secret"], rotated["secret"])
assert other != id, (other, id)
call("DELETE", f"{HOST}/v1/endpoints/{made['id']}", headers=KEY)
print("standardwebhooks (python): verified what the host posts, also with two secrets")
