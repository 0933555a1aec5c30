// What needs no host; the rest is tried by scripts/first-evening, in a component.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { places as table } from '../bin/source-map.mjs';
import { Reject, Retry, SendError, failure } from '../src/errors.js';
import { places } from '../src/places.js';
import { instant, later, millis } from '../src/time.js';
import { decode, encode } from '../src/utf8.js';

const asIs = (stack) => stack;

test('lengths of time are read as they are written', () => {
  assert.equal(millis('1h30m'), 5_400_000);
  assert.equal(millis('250ms'), 250);
  assert.equal(millis({ days: 1, minutes: 1 }), 86_460_000);
  assert.equal(millis(1500), 1500);
  for (const wrong of ['', '1 h', 'h', '-1m', -1, NaN, { weeks: 1 }]) assert.throws(() => millis(wrong), RangeError, String(wrong));
});

test('dates become instants, and invalid ones are refused', () => {
  assert.equal(instant(new Date(1234)), 1234);
  assert.equal(later(new Date(0), '2s').getTime(), 2000);
  assert.throws(() => instant(new Date('never')), RangeError);
  assert.throws(() => instant('2026-01-01'), RangeError);
});

test('UTF-8 goes there and back, and agrees with the one of this engine', () => {
  for (const text of ['', 'abc', 'prête à 20 h', '日本', '🥐 croissant', '\u0000']) {
    assert.deepEqual([...encode(text)], [...new TextEncoder().encode(text)]);
    assert.equal(decode(encode(text)), text);
  }
  assert.deepEqual([...encode('a\uD800b')], [...new TextEncoder().encode('a\uD800b')]);
  assert.throws(() => decode(Uint8Array.of(0xff)), TypeError);
});

test('what a handler throws becomes a failure of the contract', () => {
  const busy = failure(new Retry('busy', { after: '1m', attributes: { service: 'till' } }), asIs);
  assert.deepEqual(busy, { tag: 'retry', val: { message: 'busy', detail: undefined, after: 60_000, attributes: [['service', 'till']] } });
  const unknown = failure(new Reject('no such order'), asIs);
  assert.deepEqual(unknown, { tag: 'reject', val: { message: 'no such order', detail: undefined, attributes: [] } });
  assert.equal(failure('just words', asIs).val.message, 'thrown: just words');
  const surprised = failure(new Error('outer', { cause: new TypeError('inner') }), asIs);
  assert.equal(surprised.val.message, 'Error: outer');
  assert.match(surprised.val.detail, /^Error: outer\n[^]*at [^]*\nCaused by: TypeError: inner/);
  const passing = failure(Object.assign(new Error('nobody listens there'), { mayPass: true }), asIs);
  assert.equal(passing.tag, 'retry');
  assert.match(passing.val.detail, /nobody listens there/);
});

test('a refusal says its code, and whose affair it is', () => {
  const stopped = new SendError({ tag: 'no-consent', val: 'sms' });
  assert.equal(stopped.message, 'the message was not taken: no-consent: sms');
  assert.ok(stopped.isAboutTheCustomer);
  assert.ok(!new SendError({ tag: 'bad-template', val: 'none' }).isAboutTheCustomer);
  assert.equal(new SendError({ tag: 'other', val: 'new-code' }).code, 'new-code');
});

test('a stack names the lines of the author, and not those of the bundle or of this SDK', () => {
  // Line 1 has nothing; lines 2 and 3 are lines 1 and 3 of the first source; line 4 is line 1 of the second.
  const map = { sources: ['../src/plugin.ts', 'sdk.js'], mappings: ';AAAA;AAEA;ACFA' };
  globalThis.__relaisPlaces = table(map, (source) => (source === 'sdk.js' ? 'relais-plugin/src/component.js' : 'src/plugin.ts'));
  try {
    const stack = '    at inner (componentize-qjs:bundle.js:3:5)\n    at called (componentize-qjs:bundle.js:4:1)';
    assert.equal(places(stack), '    at inner (src/plugin.ts:3)');
  } finally {
    delete globalThis.__relaisPlaces;
  }
});
