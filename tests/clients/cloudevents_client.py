"""The CloudEvents SDK for Python, unchanged, posting to this host: structured, binary and batched; what is kept is what was sent."""

import datetime
import json
import sys
import uuid

from cloudevents.core.bindings.http import HTTPMessage, from_http, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from doors import call

HOST, TOKEN = sys.argv[1:3]
KEY = {"authorization": f"Bearer {TOKEN}"}
FORMAT = JSONFormat()
WHEN = datetime.datetime(2026, 1, 15, 10, 30, tzinfo=datetime.timezone.utc)
# A value that has to be percent-encoded in a header.
SUBJECT = 'commande "4821" à 100 %, 12 € 😀'


def event(data, **more):
    attributes = {
        "id": str(uuid.uuid4()), "source": "/boutique/paris", "type": "com.example.basket.filled", "time": WHEN,
        "subject": SUBJECT, "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "datacontenttype": "application/json",
    }
    return CloudEvent(attributes | more, data)


def post(headers, body):
    return call("POST", f"{HOST}/v1/events", body, headers | KEY)


def kept(answer, sent, data):
    """That the host keeps the event as it was sent, and knows it when it comes again."""
    status, found = call("GET", f"{HOST}/v1/events/{answer['id']}", headers=KEY)
    assert status == 200, found
    assert (found["source_id"], found["source"], found["type"]) == (sent.get_id(), sent.get_source(), sent.get_type()), found
    assert found["subject"] == SUBJECT and found["data"] == data, found
    assert datetime.datetime.fromisoformat(found["time"]) == WHEN, found
    assert found["attributes"]["traceparent"] == sent.get_attributes()["traceparent"], found


def each_mode():
    for to_http in (to_structured, to_binary):
        sent = event({"client": "c-17", "prêt_dans_min": 2})
        message = to_http(sent, FORMAT)
        status, answer = post(message.headers, message.body)
        assert status == 202 and not answer["duplicate"], (status, answer)
        kept(answer, sent, {"client": "c-17", "prêt_dans_min": 2})
        status, again = post(message.headers, message.body)
        assert status == 202 and again["duplicate"] and again["id"] == answer["id"], again
        # What was posted is what the SDK itself would read.
        assert from_http(HTTPMessage(message.headers, message.body), FORMAT).get_subject() == SUBJECT


def a_batch():
    """The SDK writes each event; a batch is an array of them."""
    sent = [event({"n": n}) for n in range(3)]
    body = b"[" + b",".join(FORMAT.write(one) for one in sent) + b"]"
    headers = {"content-type": "application/cloudevents-batch+json"}
    status, answers = post(headers, body)
    assert status == 202 and [answer["duplicate"] for answer in answers] == [False] * 3, answers
    for n, (answer, one) in enumerate(zip(answers, sent, strict=True)):
        kept(answer, one, {"n": n})
    status, answers = post(headers, body)
    assert status == 202 and all(answer["duplicate"] for answer in answers), answers
    assert post(headers, b"[]") == (202, [])


def what_is_no_event():
    status, problem = post({"content-type": "application/cloudevents+json"}, json.dumps({"specversion": "1.0"}).encode())
    assert status == 400 and problem["field"], problem
    status, problem = post({"content-type": "application/cloudevents+avro"}, b"x")
    assert status == 415, (status, problem)
    message = to_structured(event({}), FORMAT)
    assert call("POST", f"{HOST}/v1/events", message.body, message.headers)[0] == 401


each_mode()
a_batch()
what_is_no_event()
print("cloudevents (python): structured, binary and batched")
