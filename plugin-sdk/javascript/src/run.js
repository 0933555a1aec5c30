// What a run may use, each interface as an object with functions: state, timers, customers, events, calendar, run.

import { host } from './host.js';
import { pairs } from './pairs.js';
import { Event, Timer } from './received.js';
import { parse, read, write } from './shape.js';
import { date, instant, later, millis } from './time.js';
import { decode, encode } from './utf8.js';

// Entries per page of a scan: enough for nearly every entity in one call, and still a few megabytes at most.
const PAGE = 100;

const entry = (key, bytes) => parse(decode(bytes), `state \`${key}\``);

/** What the plugin keeps of an entity from one run to the next, as JSON. */
export const state = {
  get(key) {
    const bytes = host('state').get(key);
    return bytes === null || bytes === undefined ? undefined : entry(key, bytes);
  },

  set(key, value, { ttl, customer, attributes } = {}) {
    const bytes = encode(write(value, `state \`${key}\``));
    host('state').set(key, bytes, { ttl: ttl === undefined ? undefined : millis(ttl), customer, attributes: pairs(attributes) });
  },

  remove: (key) => host('state').remove(key),

  scan(prefix) {
    const found = [];
    let after;
    do {
      const page = host('state').scan(prefix, after, PAGE);
      for (const { key, value } of page.entries) found.push([key, entry(key, value)]);
      after = page.next ?? undefined;
    } while (after !== undefined);
    return found;
  },
};

/** Alarms that outlive the run and the host. */
export const timers = {
  at(key, due, { data = null, expires } = {}) {
    const json = write(data, `timer \`${key}\``);
    host('timers').set(key, instant(due), json, expires === undefined ? undefined : instant(expires));
  },

  after: (key, wait, options) => timers.at(key, later(run.now(), wait), options),

  cancel: (key) => host('timers').cancel(key),

  get(key) {
    const found = host('timers').get(key);
    return found ? new Timer(found) : undefined;
  },
};

class Customer {
  constructor(from) {
    this.id = from.id;
    this.name = from.name ?? undefined;
    this.locale = from.locale ?? undefined;
    this.timezone = from.timezone ?? undefined;
    this.attributes = Object.fromEntries(from.attributes);
  }

  /** The language alone, `fr` of `fr-FR`. */
  language(fallback) {
    return this.locale?.split(/[-_]/)[0] ?? fallback;
  }
}

const route = (from) => ({
  channel: from.channel,
  addressable: from.addressable,
  consent: from.consent,
  windowEnds: date(from.windowEnds),
  attributes: Object.fromEntries(from.attributes),
});

/** What the tenant knows of its customers, as far as the manifest permits. */
export const customers = {
  get(id) {
    const found = host('customers').get(id);
    return found ? new Customer(found) : undefined;
  },

  routes: (id) => host('customers').routes(id).map(route),

  consent: (id, channel, scope = 'service') => host('customers').getConsent(id, channel, scope),

  history: (id, type, limit = 10) => host('customers').history(id, type, limit).map((from) => new Event(from)),
};

/** Events of the plugin's own. */
export const events = {
  emit(type, data, { subject, customer, dedupKey, attributes } = {}) {
    const options = { customer, dedupKey, attributes: pairs(attributes) };
    host('events').emit(type, subject, write(data ?? null, `event \`${type}\``), options);
  },
};

/** Dates as people write them. The engine has neither time zones nor `Intl`; the host has both. */
export const calendar = {
  parse: (text, timezone) => date(host('calendar').parse(text, timezone)),
  toLocal: (time, timezone) => host('calendar').toLocal(instant(time), timezone) ?? undefined,
  fromLocal: (local, timezone) => date(host('calendar').fromLocal({ weekday: 1, ...local }, timezone)),
  format: (time, timezone, locale, style = 'date-time') => host('calendar').format(instant(time), timezone, locale, style),
};

// The letters and digits that nobody confuses when reading them aloud: no 0 and O, no 1, I and L.
const READABLE = '23456789ABCDEFGHJKMNPQRSTUVWXYZ';

/** The run itself. */
export const run = {
  id: () => host('run').id(),
  attempt: () => host('run').attempt(),
  entity: () => host('run').entity(),
  customer: () => host('run').customer() ?? undefined,
  now: () => new Date(host('run').now()),
  attribute: (name) => host('run').attribute(name) ?? undefined,
  random: (count) => host('run').random(count),
  secret: (name) => host('run').secret(name) ?? undefined,

  /** A code that a person can read out, `K7FM2Q`: about five bits for each of its characters. */
  code(length) {
    let code = '';
    while (code.length < length) {
      // Bytes from 248 on would make the first letters likelier than the others; they are drawn again.
      const kept = run.random(Math.max(2 * length, 8)).filter((byte) => byte < 248);
      for (const byte of kept) code += READABLE[byte % READABLE.length];
    }
    return code.slice(0, length);
  },
};

/** The settings: the manifest's defaults with the operator's on top; checked where a shape is given. */
export function config(shape) {
  const settings = parse(host('run').config(), 'config');
  return shape === undefined ? settings : read(shape, settings, 'config');
}
