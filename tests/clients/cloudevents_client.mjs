// The CloudEvents SDK for JavaScript, unchanged, posting to this host: structured, binary by its own emitter, and batched.
import assert from "node:assert";
import { randomUUID } from "node:crypto";
import { CloudEvent, HTTP, Mode, emitterFor } from "cloudevents";
import { call } from "./doors.mjs";

const [host, token] = process.argv.slice(2);
const key = { authorization: `Bearer ${token}` };
const TIME = "2026-01-15T10:30:00.000Z";

function event(data, more = {}) {
  return new CloudEvent({
    id: randomUUID(), source: "/boutique/paris", type: "com.example.basket.filled", time: TIME, subject: "commande/4821",
    partitionkey: "c-17", datacontenttype: "application/json", data, ...more,
  });
}

const post = (headers, body) => call("POST", `${host}/v1/events`, body, { ...headers, ...key });

async function kept({ id }, sent, data) {
  const [status, found] = await call("GET", `${host}/v1/events/${id}`, undefined, key);
  assert.strictEqual(status, 200);
  assert.deepStrictEqual([found.source_id, found.source, found.type, found.subject], [sent.id, sent.source, sent.type, sent.subject]);
  assert.deepStrictEqual([new Date(found.time).toISOString(), found.attributes.partitionkey], [TIME, "c-17"]);
  assert.deepStrictEqual(found.data, data);
}

// The SDK's emitter says how it is encoded; what carries it is this.
for (const mode of [Mode.STRUCTURED, Mode.BINARY]) {
  const answers = [];
  const emit = emitterFor(async ({ headers, body }) => answers.push(await post(headers, body)), { mode });
  const sent = event({ client: "c-17", "prêt_dans_min": 2 });
  await emit(sent);
  await emit(sent);
  const [[status, answer], [, again]] = answers;
  assert.deepStrictEqual([status, answer.duplicate, again.duplicate, again.id], [202, false, true, answer.id]);
  await kept(answer, sent, { client: "c-17", "prêt_dans_min": 2 });
}

const binary = event(undefined, { data: new Uint8Array([1, 2, 255]), datacontenttype: "application/octet-stream" });
const message = HTTP.structured(binary);
assert.strictEqual(JSON.parse(message.body).data_base64, "AQL/");
const [status, answer] = await post(message.headers, message.body);
assert.strictEqual(status, 202, JSON.stringify(answer));
const [, bytes] = await call("GET", `${host}/v1/events/${answer.id}`, undefined, key);
assert.strictEqual(bytes.data, "AQL/");

const batch = [event({ n: 0 }), event({ n: 1 })];
const headers = { "content-type": "application/cloudevents-batch+json; charset=UTF-8" };
const [taken, answers] = await post(headers, JSON.stringify(batch));
assert.deepStrictEqual([taken, answers.length], [202, 2]);
for (const [n, answer] of answers.entries()) await kept(answer, batch[n], { n });
console.log("cloudevents (javascript): structured, binary and batched");
process.exit(0);
