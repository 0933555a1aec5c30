"""CM.com's text SDK for Python, unchanged, against a door of CM.com: the simulator's, or this host's entrance, where each message
goes the whole way: through the rules, over WhatsApp or SMS, to its receipt."""

import contextlib
import io
import sys

from cm_text.text_client import TextClient
from cm_text.whatsapp_interactive.message_builder import MessageBuilder as build
from cm_text.whatsapp_template import WhatsappTemplate

from doors import Simulator, call, until

DOOR, TOKEN, SIMULATOR = sys.argv[1:4]
OWN = DOOR != SIMULATOR
KEY = {"authorization": f"Bearer {TOKEN}"}
ZOE, LEA = "+33639981208", "+33639981210"
simulator = Simulator(SIMULATOR)
simulator.do("POST", "reset")
simulator.phone(ZOE)
simulator.phone(LEA)


def written(number):
    """As CM.com wants numbers."""
    return "00" + number[1:]


def taken(answer, *references):
    said = answer.json()
    assert answer.status_code == 200 and said["errorCode"] == 0, said
    assert said["details"] == f"Created {len(references)} message(s)", said
    for line, reference in zip(said["messages"], references, strict=True):
        assert (line["status"], line["reference"], line["messageErrorCode"]) == ("Accepted", reference, 0), line
        assert line["parts"] >= 1 and line["messageDetails"] is None, line


def went(reference, *way):
    """That the host's message with this reference went this way, channel by channel, to its receipt."""
    if not OWN:
        return

    def look():
        status, listed = call("GET", f"{DOOR}/v1/messages?limit=50", headers=KEY)
        assert status == 200, listed
        message = next(one for one in listed["messages"] if one["because"] == {"reference": reference})
        tried = [(attempt["channel"], attempt["state"]) for attempt in message["attempts"]]
        return tried == list(way)

    until(f"{reference} going {way}", look)


def stopped(client):
    answer = client.SendSingleMessage(message="Bonjour", from_="Boulange", to=[written(LEA)], reference="pyStop")
    return answer.status_code == 400 and answer.json()["messages"][0]["messageErrorCode"] == 402


def sms(number):
    return until(f"an SMS to {number}", lambda: simulator.shown(number, "sms"))[-1]["text"]


client = TextClient(apikey=TOKEN, gateway=f"{DOOR}/v1.0/message")
answer = client.SendSingleMessage(message="Votre commande 4821 est prete.", from_="Boulange", to=[written(ZOE)], reference="pySingle")
taken(answer, "pySingle")
assert sms(ZOE) == "Votre commande 4821 est prete."
went("pySingle", ("sms", "delivered"))

client.AddMessage(message="Bonjour", from_="Boulange", to=[written(ZOE), "12"], reference="pyMixed")
mixed = client.send()
assert mixed.status_code == 200 and mixed.json()["errorCode"] == 201, mixed.text
assert [(one["status"], one["messageErrorCode"]) for one in mixed.json()["messages"]] == [("Accepted", 0), ("Rejected", 303)], mixed.text

template = WhatsappTemplate(
    "00000000_0000_4000_8000_000000000002", "commande_prete", language_code="fr",
    components=[{"type": "body", "parameters": [{"type": "text", "text": "Paul"}, {"type": "text", "text": "4821"}]}],
)
client.AddWhatsappTemplateMessage(template, from_="Boulange", to=[written(ZOE)], reference="pyTemplate")
taken(client.send(), "pyTemplate")
shown = until("the template", lambda: simulator.shown(ZOE))[-1]
assert shown["kind"] == "template" and shown["template"]["parameters"] == ["Paul", "4821"], shown
went("pyTemplate", ("whatsapp", "read"))

# Free content goes inside the window of the number that the door sends from.
if OWN:
    customer = f"{DOOR}/v1/customers/zoe"
    addresses = [{"channel": channel, "address": ZOE} for channel in ("whatsapp", "sms")]
    status, said = call("PUT", customer, {"name": "Zoé", "addresses": addresses}, KEY)
    assert status < 300, said
simulator.write(ZOE, channel="whatsapp", provider="meta" if OWN else "cm", text="Bonjour")
if OWN:
    until("the window", lambda: call("GET", customer, headers=KEY)[1]["window_ends"])
media = {"mediaName": "4821.jpg", "mediaUri": "https://cdn.example/4821.jpg", "mimeType": "image/jpeg"}
with contextlib.redirect_stdout(io.StringIO()):  # It prints what it builds.
    reply = build.create_interactive_message_action_button_reply("rdv:oui", "Je viens")
    button = build.create_interactive_message_action_button("reply", reply)
    row = build.create_interactive_message_action_row("8 h - 12 h", "liv:am", "Gratuit")
    section = build.create_interactive_message_action_section("Demain", [row])
    header = build.create_interactive_message_header("text", "Demain", None)
    footer, body = build.create_interactive_message_footer("Boulange"), build.create_interactive_message_body("Vous venez ?")
    buttons = build.create_interactive_message_action(buttons=[button])
    rows = build.create_interactive_message_action(button="Choisir", sections=[section])
client.AddRichMessage("Votre gateau", media, from_="Boulange", to=[written(ZOE)], reference="pyRich")
for kind, action in (("button", buttons), ("list", rows)):
    interactive = build.create_interactive_message(kind, header, body, footer, action)
    client.add_whatsapp_interactive_message(interactive, "Vous venez ?", "Boulange", [written(ZOE)], f"py{kind}")
taken(client.send(), "pyRich", "pybutton", "pylist")
shown = until("all three", lambda: (all_of := simulator.shown(ZOE)) and len(all_of) == 4 and all_of)[1:]
assert sorted(content["kind"] for content in shown) == ["buttons", "image", "list"], shown
by_kind = {content["kind"]: content for content in shown}
assert by_kind["image"]["text"] == "Votre gateau" and by_kind["image"]["media"][0]["url"] == media["mediaUri"], shown
assert (by_kind["list"]["header"], by_kind["list"]["footer"]) == ("Demain", "Boulange"), shown
assert by_kind["list"]["buttons"][0]["description"] == "Gratuit" and by_kind["buttons"]["buttons"][0]["id"] == "rdv:oui", shown
for reference in ("pyRich", "pybutton", "pylist"):
    went(reference, ("whatsapp", "read"))

if OWN:
    # Who has said STOP by SMS gets no more there, and the answer says why.
    simulator.write(LEA, channel="sms", provider="cm", text="STOP")
    until("the refusal", lambda: stopped(client))

wrong = TextClient(apikey="00000000-0000-4000-8000-00000000dead", gateway=f"{DOOR}/v1.0/message")
refused = wrong.SendSingleMessage(message="Bonjour", from_="Boulange", to=[written(ZOE)])
assert refused.status_code == 400 and refused.json()["errorCode"] == 101, refused.text
print(f"cm (python), {'the entrance' if OWN else 'the simulator'}: texts, a template, a file, buttons and a list")
