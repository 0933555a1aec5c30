// The standardwebhooks library for JavaScript, unchanged, verifying what this host posts of a message.
import assert from "node:assert";
import { randomUUID } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { Queue, call, listen } from "./doors.mjs";

const [host, token] = process.argv.slice(2);
const key = { authorization: `Bearer ${token}` };
const posts = new Queue();
const listener = await listen(async (request) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  posts.put({ headers: request.headers, body: Buffer.concat(chunks).toString() });
  return [204, ""];
});

const [status, made] = await call("POST", `${host}/v1/endpoints`, { url: listener.url, types: ["relais.message.*"] }, key);
assert.ok(status < 300, JSON.stringify(made));
const reference = `js/${randomUUID()}`;
const asked = { to: { phone: "+33639981214" }, purpose: "alert", because: { reference }, text: "Votre commande est prete.", sms: "only" };
const [taken, message] = await call("POST", `${host}/v1/messages`, asked, key);
assert.ok(taken < 300, JSON.stringify(message));
const types = new Set();
while (!types.has("relais.message.delivered")) {
  const { headers, body } = await posts.next();
  const { type, data } = new Webhook(made.secret).verify(body, headers);
  assert.throws(() => new Webhook(made.secret).verify(`${body} `, headers));
  assert.ok(type.startsWith("relais.message."), type);
  if (data.because?.reference === reference) types.add(type);
}
assert.ok(types.has("relais.message.sent"), [...types].join());
await call("DELETE", `${host}/v1/endpoints/${made.id}`, undefined, key);
console.log("standardwebhooks (javascript): verified what the host posts of a message");
process.exit(0);
