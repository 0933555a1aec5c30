// whatsapp-api-js, unchanged, against the simulated Meta: every kind of content that it sends, and the webhooks of messages
// and statuses, taken by its own handler for node:http. (It reads no webhook that is about the account: pywa does.)
import assert from "node:assert";
import { WhatsAppAPI } from "whatsapp-api-js/middleware/node-http";
import { Node18 } from "whatsapp-api-js/setup/node";
import {
  ActionButtons, ActionCTA, ActionCatalog, ActionContactRequest, ActionList, ActionLocation, ActionProduct, ActionProductList, Audio,
  Body, BodyComponent, BodyParameter, Button, CatalogProduct, Contacts, Document, Footer, Header, HeaderComponent,
  HeaderParameter, Image, Interactive, ListSection, Location, Name, PayloadComponent, Phone, Product, ProductSection, Reaction, Row,
  Sticker, Template, Text, URLComponent, Video,
} from "whatsapp-api-js/messages";
import { Queue, Simulator, listen } from "./doors.mjs";

const base = process.argv[2];
const SENDER = "109000000000001";
const TO = "+33639981205";
const PICTURE = "https://cdn.example/4821.jpg";
const simulator = new Simulator(base);

// The library has no setting for its base URL.
const toSimulator = (url, options) => fetch(String(url).replace("https://graph.facebook.com", base), options);
const api = new WhatsAppAPI(
  Node18({
    token: "simulated-meta-access-token",
    appSecret: "simulated-meta-app-secret",
    webhookVerifyToken: "simulated-meta-verify-token",
    v: "v25.0",
    ponyfill: { fetch: toSimulator },
  }),
);
const heard = new Queue();
let read = 0;
api.on.message = (message) => heard.put({ message });
api.on.status = (status) => heard.put({ status });
const listener = await listen(async (request) => {
  if (request.method === "GET") return [200, api.handle_get(request)];
  return [await api.handle_post(request), ""];
});

async function hear(kind) {
  const update = await heard.next();
  assert.ok(update[kind], `a ${kind} was expected: ${JSON.stringify(update)}`);
  read += 1;
  return update[kind];
}

async function statuses(sent, ...names) {
  const found = [];
  for (const name of names) {
    const status = await hear("status");
    assert.deepStrictEqual([status.id, status.status], [sent.messages[0].id, name]);
    found.push(status);
  }
  return found;
}

async function send(message, context, token) {
  const answer = await api.sendMessage(SENDER, { phone: TO }, message, context, token);
  assert.ok(answer.messages, JSON.stringify(answer));
  return answer;
}

async function theWindow() {
  const [failed] = await statuses(await send(new Text("Bonjour"), undefined, "m_closed"), "failed");
  assert.strictEqual(failed.error.code, 131047);
  assert.strictEqual(failed.biz_opaque_callback_data, "m_closed");
  await simulator.write(TO, { text: "Vous fermez à quelle heure ?" });
  const asked = await hear("message");
  assert.strictEqual(asked.message.text.body, "Vous fermez à quelle heure ?");
  assert.deepStrictEqual([asked.phoneID, asked.recipient.phone, asked.name], [SENDER, TO.slice(1), "Léa Exemple"]);
  assert.match(asked.recipient.bsuid, /^FR\./);
  assert.deepStrictEqual(await asked.received("text"), { success: true });
  const [sent, delivered, opened] = await statuses(await asked.reply(new Text("À 20 h."), true), "sent", "delivered", "read");
  assert.deepStrictEqual([sent.pricing.category, delivered.pricing.type, opened.pricing], ["service", "free_customer_service", undefined]);
  const shown = (await simulator.shown(TO)).at(-1);
  assert.deepStrictEqual(shown, { kind: "text", text: "À 20 h.", quotes: asked.message.id });
}

async function everyContent() {
  const quoted = await send(new Text("Voir https://a.example", true));
  await statuses(quoted, "sent", "delivered", "read");
  const yes = new Button("rdv:oui", "Je viens");
  const rows = new ListSection("Demain", new Row("liv:am", "8 h - 12 h", "Gratuit"), new Row("liv:pm", "14 h - 18 h"));
  const bread = new CatalogProduct("pain", "c-1");
  const template = new Template(
    "n_importe", "fr",
    new HeaderComponent(new HeaderParameter(new Image(PICTURE))),
    new BodyComponent(new BodyParameter("Paul"), new BodyParameter("4821")),
    new URLComponent("4821"), new PayloadComponent("cmd:4821"),
  );
  const sends = [
    ["image", new Image(PICTURE, false, "Votre gâteau")],
    ["video", new Video("https://cdn.example/a.mp4", false, "Le chemin")],
    ["audio", new Audio("https://cdn.example/a.mp3", false)],
    ["audio", new Audio("https://cdn.example/a.ogg", false, true)],
    ["document", new Document("https://cdn.example/bon.pdf", false, "Le bon", "bon.pdf")],
    ["sticker", new Sticker("https://cdn.example/a.webp", false)],
    ["location", new Location(2.3376, 48.8606, "Point relais", "12 rue Exemple")],
    ["contacts", new Contacts([new Name("Paul Exemple", "Paul"), new Phone("+33639981201", "CELL", "33639981201")])],
    ["reaction", new Reaction(quoted.messages[0].id, "👍")],
    ["reaction", new Reaction(quoted.messages[0].id)],
    ["buttons", new Interactive(new ActionButtons(yes), new Body("Vous venez ?"), new Header("Demain"), new Footer("Cabinet"))],
    ["buttons", new Interactive(new ActionButtons(yes), new Body("Vous venez ?"), new Header(new Image(PICTURE)))],
    ["list", new Interactive(new ActionList("Choisir", rows), new Body("Quel créneau ?"))],
    ["cta-url", new Interactive(new ActionCTA("Ouvrir", "https://a.example/4821"), new Body("Suivre"))],
    ["location_request_message", new Interactive(new ActionLocation(), new Body("Où êtes-vous ?"))],
    ["request_contact_info", new Interactive(new ActionContactRequest(), new Body("Votre numéro ?"))],
    ["catalog_message", new Interactive(new ActionCatalog(new Product("pain")), new Body("Nos pains"))],
    ["product", new Interactive(new ActionProduct(bread))],
    ["product_list", new Interactive(new ActionProductList("c-1", new ProductSection("Pains", new Product("pain"))), new Body("Voyez"), new Header("Nos pains"))],
    ["template", template],
  ];
  for (const [kind, message] of sends) {
    await statuses(await send(message), "sent", "delivered", "read");
    assert.strictEqual((await simulator.shown(TO)).at(-1).kind, kind);
  }
  return sends.length + 1;
}

async function media() {
  const form = new FormData();
  form.set("file", new Blob(["%PDF-1.4"], { type: "application/pdf" }), "a.pdf");
  const { id } = await api.uploadMedia(SENDER, form);
  const facts = await api.retrieveMedia(id, SENDER);
  assert.deepStrictEqual([facts.mime_type, Number(facts.file_size)], ["application/pdf", 8]);
  assert.strictEqual(await (await api.fetchMedia(facts.url)).text(), "%PDF-1.4");
  await statuses(await send(new Document(id, true, undefined, "a.pdf")), "sent", "delivered", "read");
  assert.deepStrictEqual(await api.deleteMedia(id, SENDER), { success: true });
  assert.strictEqual((await api.retrieveMedia(id)).error.code, 100);
}

async function whatPhonesSend() {
  const asked = await send(new Interactive(new ActionButtons(new Button("rdv:oui", "Je viens")), new Body("Vous venez ?")));
  await statuses(asked, "sent", "delivered", "read");
  await simulator.tap(TO, "Je viens");
  const tapped = (await hear("message")).message;
  assert.deepStrictEqual(tapped.interactive, { type: "button_reply", button_reply: { id: "rdv:oui", title: "Je viens" } });
  assert.strictEqual(tapped.context.id, asked.messages[0].id);
  const list = new ActionList("Choisir", new ListSection(undefined, new Row("liv:am", "8 h - 12 h", "Gratuit")));
  await statuses(await send(new Interactive(list, new Body("Quel créneau ?"))), "sent", "delivered", "read");
  await simulator.tap(TO, "liv:am");
  assert.deepStrictEqual((await hear("message")).message.interactive.list_reply, { id: "liv:am", title: "8 h - 12 h", description: "Gratuit" });

  for (const kind of ["image", "video", "audio", "document", "sticker"]) {
    await simulator.write(TO, { [kind]: {} });
    const { message } = await hear("message");
    const facts = await api.retrieveMedia(message[kind].id);
    assert.strictEqual(facts.mime_type, message[kind].mime_type);
    assert.strictEqual((await api.fetchMedia(facts.url)).status, 200);
  }
  await simulator.write(TO, { location: { latitude: 48.8606, longitude: 2.3376, name: "Ici" } });
  assert.deepStrictEqual((await hear("message")).message.location, { latitude: 48.8606, longitude: 2.3376, name: "Ici" });
  await simulator.write(TO, { contact: { name: "Paul Exemple", phone: "+33639981201" } });
  assert.strictEqual((await hear("message")).message.contacts[0].name.formatted_name, "Paul Exemple");
  await simulator.write(TO, { reaction: { message_id: asked.messages[0].id, emoji: "👍" } });
  assert.strictEqual((await hear("message")).message.reaction.emoji, "👍");
}

async function troubleAndTheForged() {
  await simulator.do("POST", "troubles", { phone: TO, kind: "error", code: 131026, how: "webhook", times: 1 });
  const [failed] = await statuses(await send(new Text("perdu")), "failed");
  assert.strictEqual(failed.error.code, 131026);
  const refused = await api.sendMessage(SENDER, { phone: "+12" }, new Text("Bonjour"));
  assert.strictEqual(refused.error.code, 131009);
  const forged = await fetch(listener.url, { method: "POST", body: "{}", headers: { "x-hub-signature-256": `sha256=${"0".repeat(64)}` } });
  assert.strictEqual(forged.status, 401);
}

async function whoHidesTheNumber() {
  const hidden = "+33639981206";
  await simulator.do("PUT", `phones/${hidden}`, { name: "Luc Discret", hides_number: true });
  await simulator.write(hidden, { text: "Bonjour" });
  const { recipient, contact } = await hear("message");
  assert.deepStrictEqual([recipient.phone, contact.profile.username], [undefined, "luc.discret"]);
  const sent = await api.sendMessage(SENDER, recipient, new Text("Bonjour Luc"));
  assert.strictEqual((await statuses(sent, "sent", "delivered", "read"))[0].recipient.phone, undefined);
  assert.strictEqual((await simulator.shown(hidden)).at(-1).text, "Bonjour Luc");
}

await simulator.do("POST", "reset");
await simulator.do("PUT", `phones/${TO}`, { name: "Léa Exemple" });
await simulator.do("PATCH", "settings", { meta_webhook_url: listener.url, window: "webhook" });
assert.ok((await simulator.do("POST", "meta/verify-webhook")).verified);
await theWindow();
const kinds = await everyContent();
await media();
await whatPhonesSend();
await troubleAndTheForged();
await whoHidesTheNumber();
await simulator.do("PATCH", "settings", { meta_webhook_url: null });
listener.close();
console.log(`whatsapp-api-js: ${kinds} kinds of content sent, ${read} webhooks read`);
process.exit(0);
