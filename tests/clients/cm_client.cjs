// CM.com's text SDK for JavaScript, unchanged, against a door of CM.com: the simulator's, or this host's entrance.
const assert = require("node:assert");
const { MessageApiClient } = require("@cmdotcom/text-sdk");

const [base, token] = process.argv.slice(2);

async function send() {
  const message = new MessageApiClient(token).createMessage();
  message.setMessage(["0033639981201"], "Boulange", "Votre commande 4821 est prete.", "m01JABCDEF");
  // The SDK has no setting for it, but a member.
  message.api.basePath = base;
  const { status, data: body } = await message.send();
  assert.strictEqual(status, 200);
  assert.strictEqual(body.details, "Created 1 message(s)");
  assert.strictEqual(body.messages[0].status, "Accepted");
  console.log("cm (javascript):", body.details);
}

send().catch((error) => {
  console.error(error);
  process.exit(1);
});
