// CM.com's text SDK for JavaScript, unchanged, against a door of CM.com: the simulator's, or this host's entrance, where what
// WhatsApp does not deliver goes by SMS.
import assert from "node:assert";
import cm from "@cmdotcom/text-sdk";
import { Simulator, call } from "./doors.mjs";

const [door, token, base] = process.argv.slice(2);
const own = door !== base;
const simulator = new Simulator(base);
const ZOE = "+33639981211";
// Without WhatsApp.
const LUC = "+33639981212";
const key = { authorization: `Bearer ${token}` };

async function until(what, look) {
  const end = Date.now() + 60_000;
  while (Date.now() < end) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what}: not after a minute`);
}

function message(to, reference, text = "Votre commande 4821 est prete.") {
  const message = new cm.MessageApiClient(token).createMessage();
  message.setMessage([to.replace("+", "00")], "Boulange", text, reference);
  // The SDK has no setting for it, but a member.
  message.api.basePath = door;
  return message;
}

async function sent(message, reference) {
  const { status, data: body } = await message.send();
  assert.strictEqual(status, 200, JSON.stringify(body));
  assert.deepStrictEqual([body.details, body.errorCode], ["Created 1 message(s)", 0]);
  const [line] = body.messages;
  assert.deepStrictEqual([line.status, line.reference, line.messageErrorCode], ["Accepted", reference, 0]);
}

// That the host's message with this reference went this way, channel by channel, to its receipt.
async function went(reference, ...way) {
  if (!own) return;
  await until(`${reference} going ${way}`, async () => {
    const [, listed] = await call("GET", `${door}/v1/messages?limit=50`, undefined, key);
    const { attempts } = listed.messages.find((one) => one.because.reference === reference);
    return attempts.map((attempt) => `${attempt.channel} ${attempt.state}`).join(", ") === way.join(", ");
  });
}

const lastSms = (number) => until("an SMS", async () => (await simulator.shown(number, "sms")).at(-1)?.text);

await simulator.do("POST", "reset");
await simulator.do("PUT", `phones/${ZOE}`, {});
await simulator.do("PUT", `phones/${LUC}`, { whatsapp: false });

await sent(message(ZOE, "jsText").setAllowedChannels(["SMS"]), "jsText");
assert.strictEqual(await lastSms(ZOE), "Votre commande 4821 est prete.");
await went("jsText", "sms delivered");

const template = {
  whatsapp: {
    namespace: "00000000_0000_4000_8000_000000000002",
    elementName: "commande_prete",
    language: { policy: "deterministic", code: "fr" },
    components: [{ type: "body", parameters: [{ type: "text", text: "Paul" }, { type: "text", text: "4821" }] }],
  },
};
const both = (to, reference) => message(to, reference).setAllowedChannels(["WhatsApp", "SMS"]).setTemplate(template);
await sent(both(ZOE, "jsTemplate"), "jsTemplate");
const shown = await until("the template", async () => (await simulator.shown(ZOE)).at(-1));
assert.deepStrictEqual([shown.kind, shown.template.parameters], ["template", ["Paul", "4821"]]);
await went("jsTemplate", "whatsapp read");

await sent(both(LUC, "jsFallback"), "jsFallback");
assert.strictEqual(await lastSms(LUC), "Votre commande 4821 est prete.");
await went("jsFallback", "whatsapp failed", "sms delivered");

// Nobody has written: a free text may not go on WhatsApp, and goes by SMS.
const rich = message(ZOE, "jsRich", "Sans accents").setAllowedChannels(["WhatsApp", "SMS"]);
await sent(rich.setConversation([{ text: "Votre commande 4821 est prête." }]), "jsRich");
await until("the other text", async () => (await lastSms(ZOE)) === "Sans accents");
if (own) await went("jsRich", "sms delivered");

const wrong = message(ZOE, "jsWrong");
wrong.messages.authentication.productToken = "00000000-0000-4000-8000-00000000dead";
await assert.rejects(wrong.send(), (refused) => {
  const said = refused.body ?? refused.response?.data ?? refused;
  assert.strictEqual(said.errorCode, 101, JSON.stringify(said));
  return true;
});
console.log(`cm (javascript), ${own ? "the entrance" : "the simulator"}: a text, a template, and two fallbacks`);
process.exit(0);
