// Dates and lengths of time. On the wire both are milliseconds, as a number.

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a length of time: a number of them, `'90s'`, `'2h30m'`, or `{ hours: 2, minutes: 30 }`. */
export function millis(length) {
  const found = typeof length === 'string' ? written(length) : typeof length === 'number' ? length : summed(length);
  if (!Number.isFinite(found) || found < 0) throw new RangeError(`${JSON.stringify(length)} is no length of time`);
  return Math.round(found);
}

function written(text) {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) {
    throw new RangeError(`${JSON.stringify(text)} is no length of time; write '90s', '2h' or '1h30m'`);
  }
  let sum = 0;
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) sum += Number(count) * UNITS[unit];
  return sum;
}

const FIELDS = { milliseconds: 1, seconds: 1000, minutes: 60_000, hours: 3_600_000, days: 86_400_000 };

function summed(fields) {
  let sum = 0;
  for (const [name, count] of Object.entries(fields ?? {})) {
    if (!(name in FIELDS)) throw new RangeError(`a length of time has no ${name}; it has ${Object.keys(FIELDS).join(', ')}`);
    sum += count * FIELDS[name];
  }
  return sum;
}

/** The contract's instant of a Date. */
export function instant(date) {
  const time = date instanceof Date ? date.getTime() : NaN;
  if (Number.isNaN(time)) throw new RangeError(`${safeText(date)} is no valid Date`);
  return time;
}

function safeText(value) {
  return value instanceof Date ? 'an invalid Date' : typeof value === 'string' ? JSON.stringify(value) : String(value);
}

/** A Date of the contract's instant, which may be absent. */
export const date = (millis) => (millis === null || millis === undefined ? undefined : new Date(millis));

/** A later, or with a negative sign an earlier, Date. */
export const later = (from, length) => new Date(instant(from) + millis(length));
