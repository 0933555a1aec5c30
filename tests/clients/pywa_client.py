"""pywa, unchanged, against the simulated Meta: every kind of content that it sends, and every webhook that we post, read."""

import logging
import sys
import urllib.parse

import httpx
from pywa import WhatsApp, handlers, types
from pywa.errors import ReEngagementMessage, WhatsAppError
from pywa.types.templates import (
    BodyText,
    Buttons,
    ParamFormat,
    QuickReplyButton,
    Template,
    TemplateCategory,
    TemplateLanguage,
    TemplateStatus,
)

from doors import PAUL, Listener, Simulator

# It warns of each signature that does not fit, and here one in two does not.
logging.disable(logging.WARNING)
BASE = sys.argv[1]
PHONE_ID, WABA_ID = "109000000000001", "201000000000001"
TOKEN, SECRET, VERIFY = "simulated-meta-access-token", "simulated-meta-app-secret", "simulated-meta-verify-token"
TO = "+33639981203"
PICTURE, FILM = "https://cdn.example/4821.jpg", "https://cdn.example/4821.mp4"


class ToSimulator(httpx.HTTPTransport):
    """The library has no setting for its base URL: what is for Meta's host goes to the simulator."""

    def handle_request(self, request):
        to = urllib.parse.urlsplit(BASE)
        if request.url.host == "graph.facebook.com":
            request.url = request.url.copy_with(scheme="http", host=to.hostname, port=to.port)
            request.headers["host"] = to.netloc
        return super().handle_request(request)


wa = WhatsApp(
    phone_id=PHONE_ID, token=TOKEN, waba_id=WABA_ID, app_secret=SECRET, verify_token=VERIFY, api_version=25.0,
    session=httpx.Client(transport=ToSimulator(), trust_env=False),
)
simulator = Simulator(BASE)
simulator.do("POST", "reset")
simulator.phone(TO, name="Zoé Exemple", whatsapp=True)


def challenge(path):
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))
    answer, status = wa.webhook_challenge_handler(query.get("hub.verify_token"), query.get("hub.challenge"))
    return status, answer


listener = Listener(challenge)
heard = []
for kind in (
    handlers.MessageHandler, handlers.CallbackButtonHandler, handlers.CallbackSelectionHandler, handlers.MessageStatusHandler,
    handlers.TemplateStatusUpdateHandler, handlers.TemplateCategoryUpdateHandler, handlers.UserMarketingPreferencesHandler,
    handlers.PhoneNumberChangeHandler, handlers.AccountUpdateHandler,
):
    wa.add_handlers(kind(lambda _, update: heard.append(update)))


def hear():
    """The next webhook as pywa reads it, after it checked the signature."""
    _, headers, body = listener.next()
    signature = headers["x-hub-signature-256"]
    assert wa.webhook_update_validator(body, signature) is None
    assert wa.webhook_update_validator(body + b" ", signature) == ("Forbidden", 403)
    before = len(heard)
    assert wa.webhook_update_handler(body) == ("ok", 200)
    assert len(heard) == before + 1, f"pywa made nothing of {body.decode()}"
    return heard[-1]


def statuses(sent, *names):
    """The statuses of a message, in their order."""
    found = [hear() for _ in names]
    assert [(status.id, status.status.value) for status in found] == [(sent.id, name) for name in names], found
    return found


def listening():
    simulator.do("PATCH", "settings", {"meta_webhook_url": listener.url, "window": "webhook"})
    report = simulator.do("POST", "meta/verify-webhook")
    assert report["verified"], report


def the_window():
    sent = wa.send_message(TO, "Bonjour", tracker="m_closed")
    failed, = statuses(sent, "failed")
    assert isinstance(failed.error, ReEngagementMessage) and failed.error.code == 131047, failed.error
    assert failed.tracker == "m_closed" and failed.from_user.wa_id == TO[1:] and failed.from_user.bsuid.startswith("FR.")
    simulator.write(TO, text="Vous fermez à quelle heure ?")
    asked = hear()
    assert (asked.text, asked.from_user.name, asked.from_user.wa_id) == ("Vous fermez à quelle heure ?", "Zoé Exemple", TO[1:])
    assert asked.metadata.phone_number_id == PHONE_ID
    assert wa.mark_message_as_read(asked.id).success and wa.indicate_typing(asked.id).success
    answer = asked.reply_text("À 20 h.", quote=True)
    sent, delivered, read = statuses(answer, "sent", "delivered", "read")
    assert delivered.pricing.model.value == "PMP" and delivered.pricing.type.value == "free_customer_service"
    assert read.pricing is None and sent.pricing.category.value == "service"
    assert simulator.shown(TO)[-1] == {"kind": "text", "text": "À 20 h.", "quotes": asked.id}


def every_content():
    button = [types.Button("Je viens", "rdv:oui"), types.Button("J'annule", "rdv:non")]
    rows = [types.SectionRow("8 h - 12 h", "liv:am", "Gratuit"), types.SectionRow("14 h - 18 h", "liv:pm")]
    choose = types.SectionList("Choisir", [types.Section("Demain", rows)])
    card = types.Contact(name=types.Contact.Name(formatted_name="Zoé", first_name="Zoé"), phones=[types.Contact.Phone(phone=TO)])
    quoted = wa.send_message(TO, "Voir https://a.example", preview_url=True)
    statuses(quoted, "sent", "delivered", "read")
    sends = [
        ("image", lambda: wa.send_image(TO, PICTURE, caption="Votre gâteau")),
        ("image", lambda: wa.send_image(TO, b"\x89PNG\r\n\x1a\n", mime_type="image/png", caption="téléversée")),
        ("video", lambda: wa.send_video(TO, FILM, caption="Le chemin")),
        ("document", lambda: wa.send_document(TO, b"%PDF-1.4", filename="bon.pdf", mime_type="application/pdf")),
        ("audio", lambda: wa.send_audio(TO, "https://cdn.example/a.mp3")),
        ("audio", lambda: wa.send_voice(TO, b"OggS", mime_type="audio/ogg")),
        ("sticker", lambda: wa.send_sticker(TO, "https://cdn.example/a.webp")),
        ("location", lambda: wa.send_location(TO, 48.8606, 2.3376, name="Point relais", address="12 rue Exemple")),
        ("contacts", lambda: wa.send_contact(TO, card)),
        ("reaction", lambda: wa.send_reaction(TO, "👍", quoted.id)),
        ("reaction", lambda: wa.remove_reaction(TO, quoted.id)),
        ("buttons", lambda: wa.send_message(TO, "Vous venez ?", header="Demain", footer="Cabinet", buttons=button)),
        ("buttons", lambda: wa.send_image(TO, PICTURE, caption="Vous venez ?", buttons=button)),
        ("list", lambda: wa.send_message(TO, "Quel créneau ?", buttons=choose)),
        ("cta-url", lambda: wa.send_message(TO, "Suivre", buttons=types.URLButton("Ouvrir", "https://a.example/4821"))),
        ("location_request_message", lambda: wa.request_location(TO, "Où êtes-vous ?")),
        ("request_contact_info", lambda: wa.request_contact_info(TO, "Votre numéro ?")),
        ("catalog_message", lambda: wa.send_catalog(TO, "Nos pains")),
        ("product", lambda: wa.send_product(TO, "c-1", "pain")),
        ("product_list", lambda: wa.send_products(TO, "c-1", [types.ProductsSection("Pains", ["pain"])], "Nos pains", "Voyez")),
    ]
    for kind, send in sends:
        sent = send()
        statuses(sent, "sent", "delivered", "read")
        shown = simulator.shown(TO)[-1]
        assert shown["kind"] == kind, (kind, shown)
    shown = simulator.shown(TO)
    bon = next(content for content in shown if content["kind"] == "document")
    assert bon["media"][0]["filename"] == "bon.pdf" and bon["media"][0]["mime_type"] == "application/pdf", bon
    return len(sends) + 1


def media():
    kept = wa.upload_media(b"%PDF-1.4", mime_type="application/pdf", filename="a.pdf")
    facts = wa.get_media_url(kept.id)
    assert facts.mime_type == "application/pdf" and facts.file_size == 8 and facts.get_bytes() == b"%PDF-1.4"
    assert wa.delete_media(kept.id, phone_id=None).success
    try:
        wa.get_media_url(kept.id)
        raise SystemExit("a file that was deleted is still there")
    except WhatsAppError as gone:
        assert gone.code == 100, gone


def refusals():
    for code, send in [
        (131009, lambda: wa.send_message("+12", "Bonjour")),
        (131021, lambda: wa.send_message("+33139980001", "Bonjour")),
        (100, lambda: wa.send_message(TO, "x" * 4097)),
        (131009, lambda: wa.send_message(TO, "?", buttons=[types.Button("Un titre de plus de vingt", "a")])),
    ]:
        try:
            send()
            raise SystemExit(f"what {code} is for was taken")
        except WhatsAppError as refused:
            assert refused.code == code and refused.fbtrace_id and refused.details, refused


def templates():
    made = wa.create_template(Template(
        name="commande_prete", language=TemplateLanguage.FRENCH, category=TemplateCategory.UTILITY,
        parameter_format=ParamFormat.POSITIONAL, message_send_ttl_seconds=600,
        components=[BodyText("Bonjour {{1}}, commande {{2}}.", "Paul", "4821"), Buttons(buttons=[QuickReplyButton(text="J'arrive")])],
    ))
    assert made.id, made
    listed = wa.get_templates(name="commande_prete")
    assert listed.total_count == 1
    found, = listed
    assert (found.status, found.category, found.message_send_ttl_seconds) == (TemplateStatus.APPROVED, TemplateCategory.UTILITY, 600)
    assert found.parameter_format == ParamFormat.POSITIONAL and len(found.components) == 2, found
    params = [BodyText.params("Paul", "4821"), QuickReplyButton.params(callback_data="cmd:4821:j-arrive", index=0)]
    sent = wa.send_template(TO, "commande_prete", TemplateLanguage.FRENCH, params, tracker="m_template")
    delivered = statuses(sent, "sent", "delivered", "read")[1]
    assert delivered.tracker == "m_template" and delivered.pricing.category.value == "utility"
    shown = simulator.shown(TO)[-1]
    assert shown["text"] == "Bonjour Paul, commande 4821." and shown["buttons"][0]["title"] == "J'arrive", shown
    simulator.tap(TO, "J'arrive")
    tapped = hear()
    assert isinstance(tapped, types.CallbackButton) and tapped.data == "cmd:4821:j-arrive" and tapped.is_quick_reply, tapped
    assert tapped.reply_to_message.id == sent.id
    try:
        wa.send_template(TO, "commande_prete", TemplateLanguage.FRENCH, [BodyText.params("Paul")])
        raise SystemExit("a template without its second parameter was taken")
    except WhatsAppError as refused:
        assert refused.code == 132000, refused

    known = {"name": "commande_prete", "language": "fr", "category": "UTILITY", "components": [{"type": "BODY", "text": "{{1}}"}]}
    for status in ("PAUSED", "DISABLED", "APPROVED"):
        simulator.do("POST", "templates", known | {"status": status})
        update = hear()
        assert (update.template_name, update.new_status.value) == ("commande_prete", status), update
        assert (update.disable_info is not None) == (status == "DISABLED"), update
    assert wa.delete_template("commande_prete").success


def what_phones_send():
    buttons = [types.Button("Je viens", "rdv:oui")]
    asked = wa.send_message(TO, "Vous venez ?", buttons=buttons)
    statuses(asked, "sent", "delivered", "read")
    simulator.tap(TO, "Je viens")
    tapped = hear()
    assert (tapped.data, tapped.title, tapped.reply_to_message.id) == ("rdv:oui", "Je viens", asked.id), tapped
    rows = [types.SectionRow("8 h - 12 h", "liv:am", "Gratuit")]
    asked = wa.send_message(TO, "Quel créneau ?", buttons=types.SectionList("Choisir", [types.Section("Demain", rows)]))
    statuses(asked, "sent", "delivered", "read")
    simulator.tap(TO, "liv:am")
    row = hear()
    assert (row.data, row.title, row.description) == ("liv:am", "8 h - 12 h", "Gratuit"), row

    for kind, own in [
        ("image", {"caption": "Ceci"}), ("video", {"caption": "Cela"}), ("audio", {}), ("sticker", {}),
        ("document", {"filename": "bon.pdf", "caption": "Le bon"}),
    ]:
        simulator.write(TO, **{kind: own})
        message = hear()
        file = getattr(message, kind)
        assert message.type.value == kind and message.caption == own.get("caption"), message
        assert file.sha256 and file.get_bytes(), file
        if kind == "document":
            assert file.filename == "bon.pdf"
    assert message.from_user.wa_id == TO[1:]
    simulator.write(TO, location={"latitude": 48.8606, "longitude": 2.3376, "name": "Ici"})
    place = hear().location
    assert (place.latitude, place.longitude, place.name) == (48.8606, 2.3376, "Ici"), place
    simulator.write(TO, contact={"name": "Paul Exemple", "phone": PAUL})
    cards = hear().contacts
    assert cards[0].name.formatted_name == "Paul Exemple" and cards[0].phones[0].wa_id == PAUL[1:], cards
    for emoji in ("👍", None):
        simulator.write(TO, reaction={"message_id": asked.id, "emoji": emoji})
        reaction = hear().reaction
        assert (reaction.emoji, reaction.message_id, reaction.is_removed) == (emoji, asked.id, emoji is None), reaction
    simulator.write(TO, text="Oui", quotes=asked.id)
    assert hear().reply_to_message.id == asked.id


def trouble_and_other_changes():
    simulator.do("POST", "troubles", {"phone": TO, "kind": "error", "code": 131026, "how": "webhook", "times": 1})
    failed, = statuses(wa.send_message(TO, "perdu"), "failed")
    assert failed.error.code == 131026 and failed.error.details, failed.error
    simulator.do("POST", "troubles", {"phone": TO, "kind": "error", "code": 130429, "how": "sync", "times": 1})
    try:
        wa.send_message(TO, "trop")
        raise SystemExit("the limit was not told")
    except WhatsAppError as limit:
        assert limit.code == 130429, limit
    stop = {"wa_id": TO[1:], "detail": "User requested to stop", "category": "marketing_messages", "value": "stop", "timestamp": 1767254400}
    contact = {"profile": {"name": "Zoé"}, "wa_id": TO[1:], "user_id": "FR.13000000000000000001"}
    number = {"messaging_product": "whatsapp", "metadata": {"display_phone_number": "33139980001", "phone_number_id": PHONE_ID}}
    simulator.do("POST", "meta/webhook", {"field": "user_preferences", "value": number | {"contacts": [contact], "user_preferences": [stop]}})
    assert hear().value.value == "stop"
    simulator.do("POST", "meta/webhook", {"field": "account_update", "value": {"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SPAM"}}})
    assert hear().event.value == "ACCOUNT_VIOLATION"
    moved = {"message_template_id": 7, "message_template_name": "commande_prete", "message_template_language": "fr"}
    moved |= {"previous_category": "UTILITY", "new_category": "MARKETING"}
    simulator.do("POST", "meta/webhook", {"field": "template_category_update", "value": moved})
    assert hear().new_category.value == "MARKETING"


def who_hides_the_number():
    hidden = "+33639981204"
    simulator.phone(hidden, name="Luc Discret", whatsapp=True, hides_number=True)
    simulator.write(hidden, text="Bonjour")
    message = hear()
    assert message.from_user.wa_id is None and message.from_user.bsuid.startswith("FR.") and message.from_user.username
    sent = wa.send_message(message.from_user.bsuid, "Bonjour Luc")
    assert statuses(sent, "sent", "delivered", "read")[0].from_user.wa_id is None
    assert simulator.shown(hidden)[-1]["text"] == "Bonjour Luc"


def profile():
    assert wa.update_business_profile(about="Du bon pain", industry=types.Industry.RESTAURANT, websites=["https://a.example"]).success
    shown = wa.get_business_profile()
    assert (shown.about, shown.industry, shown.websites) == ("Du bon pain", types.Industry.RESTAURANT, ("https://a.example",)), shown


listening()
the_window()
kinds = every_content()
media()
refusals()
templates()
what_phones_send()
trouble_and_other_changes()
who_hides_the_number()
profile()
simulator.do("PATCH", "settings", {"meta_webhook_url": None})
print(f"pywa: {kinds} kinds of content sent, {len(heard)} webhooks read")
