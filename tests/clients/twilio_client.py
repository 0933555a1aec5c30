"""Twilio's library, unchanged, against the simulator: SMS and WhatsApp, refusals, and the signature of every callback."""

import sys
import urllib.parse

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from doors import Listener, Simulator

BASE = sys.argv[1]
ACCOUNT, TOKEN = "AC00000000000000000000000000000001", "simulated-twilio-auth-token"
SENDER, TO = "+33757000001", "+33639981207"


class ToSimulator(TwilioHttpClient):
    """The library has no setting for its base URL."""

    def request(self, method, url, *args, **kwargs):
        return super().request(method, BASE + urllib.parse.urlsplit(url).path, *args, **kwargs)


simulator = Simulator(BASE)
simulator.do("POST", "reset")
simulator.phone(TO, name="Zoé Exemple")
listener = Listener()
client = Client(ACCOUNT, TOKEN, http_client=ToSimulator())
callback = f"{listener.url}/hook?token=a%20b&tenant=t1"
checked = 0


def hear():
    """The fields of the next webhook, after the library checked who signed it."""
    global checked
    path, headers, body = listener.next()
    form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
    signature = headers["x-twilio-signature"]
    assert RequestValidator(TOKEN).validate(listener.url + path, form, signature), (path, form)
    assert not RequestValidator("another").validate(listener.url + path, form, signature)
    assert not RequestValidator(TOKEN).validate(listener.url + path, form | {"To": "+33639981299"}, signature)
    assert form["AccountSid"] == ACCOUNT, form
    checked += 1
    return form


def statuses(sent, *names):
    heard = [hear() for _ in names]
    assert [(form["MessageSid"], form["MessageStatus"]) for form in heard] == [(sent.sid, name) for name in names], heard
    return heard


def refused(code, status=400, **fields):
    try:
        client.messages.create(**fields)
    except TwilioRestException as problem:
        assert (problem.code, problem.status) == (code, status), problem
    else:
        raise SystemExit(f"what {code} is for was taken: {fields}")


def sms():
    sent = client.messages.create(to=TO, from_=SENDER, body="é" * 161, status_callback=callback)
    assert sent.sid.startswith("SM") and sent.status == "queued" and sent.num_segments == "2", sent
    assert sent.direction == "outbound-api" and sent.date_created.year >= 2026 and sent.price is None
    statuses(sent, "sent", "delivered")
    sent = client.messages.create(to=TO, messaging_service_sid=f"MG{0:032x}", body="Bonjour", status_callback=callback, validity_period=60)
    assert sent.status == "accepted" and sent.from_ is None, sent
    statuses(sent, "sent", "delivered")
    simulator.phone(TO, name="Zoé Exemple", sms=False)
    sent = client.messages.create(to=TO, from_=SENDER, body="Bonjour", status_callback=callback)
    failed, = statuses(sent, "undelivered")
    assert failed["ErrorCode"] == "30005", failed
    simulator.phone(TO, name="Zoé Exemple")


def whatsapp():
    to, sender = f"whatsapp:{TO}", f"whatsapp:{SENDER}"
    sent = client.messages.create(to=to, from_=sender, body="Bonjour", status_callback=callback)
    failed, = statuses(sent, "failed")
    assert failed["ErrorCode"] == "63016" and failed["To"] == to and failed["From"] == sender, failed
    simulator.do("POST", "templates", {"name": f"HX{1:032x}", "language": "fr", "body": "Bonjour {{1}}, commande {{2}}."})
    sent = client.messages.create(
        to=to, from_=sender, content_sid=f"HX{1:032x}", content_variables='{"1": "Paul", "2": "4821"}', status_callback=callback
    )
    statuses(sent, "sent", "delivered", "read")
    assert simulator.shown(TO)[-1]["text"] == "Bonjour Paul, commande 4821."
    simulator.write(TO, provider="twilio", text="Ouvert ?")
    asked = hear()
    assert (asked["From"], asked["To"], asked["Body"], asked["NumMedia"]) == (to, sender, "Ouvert ?", "0"), asked
    assert (asked["WaId"], asked["ProfileName"]) == (TO[1:], "Zoé Exemple") and asked["ExternalUserId"].startswith("FR."), asked
    sent = client.messages.create(to=to, from_=sender, body="Oui", media_url=["https://cdn.example/a.jpg"], status_callback=callback)
    assert sent.sid.startswith("MM") and sent.num_media == "1", sent
    statuses(sent, "sent", "delivered", "read")


def what_phones_send():
    simulator.write(TO, provider="twilio", channel="sms", text="Ça marche")
    assert hear()["Body"] == "Ça marche"
    for kind, mime_type in [("image", "image/png"), ("document", "application/pdf"), ("audio", "audio/ogg; codecs=opus")]:
        simulator.write(TO, provider="twilio", **{kind: {"url": "https://cdn.example/a"}})
        form = hear()
        assert (form["NumMedia"], form["MediaUrl0"], form["MediaContentType0"]) == ("1", "https://cdn.example/a", mime_type), form
    simulator.write(TO, provider="twilio", location={"latitude": 48.8606, "longitude": 2.3376})
    form = hear()
    assert (form["Latitude"], form["Longitude"]) == ("48.8606", "2.3376"), form
    simulator.write(TO, provider="twilio", channel="sms", text="STOP")
    assert hear()["Body"] == "STOP"
    refused(21610, to=TO, from_=SENDER, body="Bonjour")


simulator.do("PATCH", "settings", {"twilio_webhook_url": f"{listener.url}/in?a=1"})
sms()
whatsapp()
refused(21211, to="12", from_=SENDER, body="Bonjour")
refused(21617, to=TO, from_=SENDER, body="x" * 1601)
refused(21619, to=TO, from_=SENDER)
refused(63007, to=f"whatsapp:{TO}", from_=SENDER, body="Bonjour")
what_phones_send()
simulator.do("PATCH", "settings", {"twilio_webhook_url": None})
try:
    Client(ACCOUNT, "wrong", http_client=ToSimulator()).messages.create(to=TO, from_=SENDER, body="Bonjour")
    raise SystemExit("a wrong token was taken")
except TwilioRestException as problem:
    assert (problem.status, problem.code) == (401, 20003), problem
print(f"twilio: {checked} signed webhooks read")
