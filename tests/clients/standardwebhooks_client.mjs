// The standardwebhooks library for JavaScript, unchanged: it signs what a plugin's trigger takes.
import assert from "node:assert";
import { randomUUID } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { call } from "./doors.mjs";

const [host, , secret] = process.argv.slice(2);
const url = `${host}/v1/triggers/order-ready/shop`;
const body = JSON.stringify({ order: `js-${randomUUID()}`, customer: "zoe", shop: "Au Pain Doré" });
const now = new Date();

function post(id, signature, when = now, sent = body) {
  const headers = { "content-type": "application/json", "webhook-id": id, "webhook-signature": signature };
  return call("POST", url, sent, { ...headers, "webhook-timestamp": String(Math.floor(when.getTime() / 1000)) });
}

const shop = new Webhook(secret);
const id = `msg_${randomUUID()}`;
const [status, taken] = await post(id, shop.sign(id, now, body));
assert.deepStrictEqual([status, taken.duplicate], [202, false], JSON.stringify(taken));
const later = new Date(now.getTime() + 5000);
const [, again] = await post(id, shop.sign(id, later, body), later);
assert.deepStrictEqual([again.duplicate, again.id], [true, taken.id]);
const other = new Webhook("whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldA==");
const old = new Date(now.getTime() - 6 * 60_000);
for (const [refused, problem] of [
  await post(id, other.sign(id, now, body)),
  await post(id, shop.sign(id, now, body), now, `${body} `),
  await post(id, shop.sign(id, old, body), old),
]) {
  assert.deepStrictEqual([refused, problem.field], [401, "signature"]);
}
console.log("standardwebhooks (javascript): signed for a trigger");
process.exit(0);
