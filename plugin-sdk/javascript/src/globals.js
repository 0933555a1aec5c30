// What JavaScript code expects to find, and a bare engine does not have. The entry of a component imports this first, so
// that it is there when the plugin's own modules and their dependencies are loaded.

import { described } from './errors.js';
import { host, running } from './host.js';
import { places } from './places.js';
import { decode, encode } from './utf8.js';

const LEVELS = { trace: 'trace', debug: 'debug', log: 'info', info: 'info', warn: 'warn', error: 'error' };

// What is written at the top level of a module, where there is no host yet: the first run writes it.
let waiting = [];

function log(level, parts) {
  const [words, fields] = divided(parts);
  const line = words.map(written).join(' ');
  if (!running()) waiting.push([level, `(when it was built) ${line}`, fields]);
  else host('run').log(level, line, fields);
}

/** Words, and the fields to find the line by: `console.info('sent', { order: '4821' })` ends with them. */
function divided(parts) {
  const last = parts.at(-1);
  const plain = typeof last === 'object' && last !== null && Object.getPrototypeOf(last) === Object.prototype;
  if (parts.length < 2 || !plain) return [parts, []];
  return [parts.slice(0, -1), Object.entries(last).map(([name, value]) => [name, written(value)])];
}

/** Writes what was logged before there was a host. */
export function flush() {
  for (const [level, line, fields] of waiting) host('run').log(level, line, fields);
  waiting = [];
}

function written(value) {
  if (typeof value === 'string') return value;
  if (value instanceof Error) return described(value, places);
  if (typeof value === 'function') return `[function ${value.name || 'without a name'}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  const seen = new Set();
  const replace = (_, inner) => {
    if (typeof inner === 'bigint') return `${inner}n`;
    if (inner instanceof Map) return [...inner];
    if (inner instanceof Set) return [...inner];
    if (typeof inner === 'object' && inner !== null) {
      if (seen.has(inner)) return '[seen above]';
      seen.add(inner);
    }
    return inner;
  };
  return JSON.stringify(value, replace) ?? String(value);
}

const methods = Object.entries(LEVELS).map(([name, level]) => [name, (...parts) => log(level, parts)]);

globalThis.console = {
  ...Object.fromEntries(methods),
  dir: (value) => log('info', [value]),
  assert: (holds, ...parts) => {
    if (!holds) log('error', ['assertion failed:', ...parts]);
  },
};

// The engine's own generator was frozen with its seed when the component was built: each run would draw the same.
const drawnAtBuild = Math.random;
let pool = new Uint8Array();
let used = 0;

function bytes(count) {
  if (used + count > pool.length) {
    pool = host('run').random(Math.max(count, 256));
    used = 0;
  }
  used += count;
  return pool.subarray(used - count, used);
}

Math.random = () => {
  if (!running()) return drawnAtBuild();
  const drawn = bytes(7);
  const high = ((drawn[0] & 0x1f) * 0x10000 + drawn[1] * 0x100 + drawn[2]) * 0x100000000;
  const low = drawn[3] * 0x1000000 + drawn[4] * 0x10000 + drawn[5] * 0x100 + drawn[6];
  return (high + low) / 2 ** 53;
};

globalThis.crypto ??= {
  getRandomValues(array) {
    const view = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    view.set(host('run').random(view.length));
    return array;
  },
  randomUUID() {
    const drawn = Uint8Array.from(host('run').random(16));
    drawn[6] = (drawn[6] & 0x0f) | 0x40;
    drawn[8] = (drawn[8] & 0x3f) | 0x80;
    const hex = [...drawn].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  },
};

globalThis.TextEncoder ??= class TextEncoder {
  encoding = 'utf-8';
  encode = (text = '') => encode(text);
};

globalThis.TextDecoder ??= class TextDecoder {
  encoding = 'utf-8';
  decode = (given = new Uint8Array()) => decode(given instanceof ArrayBuffer ? new Uint8Array(given) : given);
};

// What it would give is a promise, and a run ends when its handler returns.
globalThis.fetch ??= () => {
  throw new Error("there is no fetch; http.fetch of 'relais-plugin' takes the same arguments and gives the response at once");
};

// A run ends when its handler returns, so nothing would ever be called back.
for (const name of ['setTimeout', 'setInterval']) {
  globalThis[name] ??= () => {
    throw new Error(`${name} does not outlive a run; timers.after('key', '2h') does, and calls onTimer`);
  };
}
