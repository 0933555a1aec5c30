// Shapes: what a plugin expects data to look like. What does not fit is rejected with the path of the field.

import { Reject } from './errors.js';
import { host } from './host.js';

const named = (value) => (value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`);

const shape = (expected, read) => ({ expected, read });

const wrong = (path, expected, value) => {
  const got = value === undefined ? 'it is missing' : `it is ${named(value)}: ${JSON.stringify(value).slice(0, 80)}`;
  return new Reject(`${path}: should be ${expected}, and ${got}`);
};

const primitive = (type) =>
  shape(`a ${type}`, (value, path) => {
    if (typeof value !== type) throw wrong(path, `a ${type}`, value);
    return value;
  });

/** A string. */
export const text = primitive('string');
/** A number. */
export const number = primitive('number');
/** `true` or `false`. */
export const boolean = primitive('boolean');
/** Anything at all, missing included. */
export const anything = shape('anything', (value) => value);

/** A whole number, between bounds where they are given. */
export const integer = ({ min = -Infinity, max = Infinity } = {}) => {
  const bounds = `${min > -Infinity ? ` from ${min}` : ''}${max < Infinity ? ` to ${max}` : ''}`;
  return shape(`a whole number${bounds}`, (value, path) => {
    if (!Number.isInteger(value) || value < min || value > max) throw wrong(path, `a whole number${bounds}`, value);
    return value;
  });
};

/** A Date, of an RFC 3339 text with an offset, or of milliseconds since 1970. */
export const time = shape('a time such as 2018-08-01T20:30:00+02:00', (value, path) => {
  const expected = 'a time with an offset such as 2018-08-01T20:30:00+02:00';
  if (typeof value === 'number') return new Date(value);
  // Without an offset the host would need a zone of our choosing, and whichever we chose would be a guess.
  if (typeof value !== 'string' || !/[Tt ].*(?:[Zz]|[+-]\d\d:?\d\d)$/.test(value)) throw wrong(path, expected, value);
  const instant = host('calendar').parse(value, 'UTC');
  if (instant === null || instant === undefined) throw wrong(path, expected, value);
  return new Date(instant);
});

/** One of these values. */
export const oneOf = (...values) => {
  const expected = `one of ${values.map((value) => JSON.stringify(value)).join(', ')}`;
  return shape(expected, (value, path) => {
    if (!values.includes(value)) throw wrong(path, expected, value);
    return value;
  });
};

/** What may be missing or null; `fallback` takes its place. */
export const optional = (inner, fallback) =>
  shape(inner.expected ?? 'an object', (value, path) =>
    value === undefined || value === null ? fallback : read(inner, value, path),
  );

/** A list. */
export const list = (inner) =>
  shape('a list', (value, path) => {
    if (!Array.isArray(value)) throw wrong(path, 'a list', value);
    return value.map((item, at) => read(inner, item, `${path}[${at}]`));
  });

/** Reads a value by a shape, or by an object of shapes. Fields that no shape names are left out. */
export function read(expected, value, path) {
  if (typeof expected.read === 'function' && 'expected' in expected) return expected.read(value, path);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw wrong(path, 'an object', value);
  const found = {};
  for (const [name, inner] of Object.entries(expected)) found[name] = read(inner, value[name], `${path}.${name}`);
  return found;
}

/** JSON that the host gave, or a rejection that says of what. */
export function parse(json, what) {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new Reject(`${what} is not JSON: ${error.message}`);
  }
}

/** A value as JSON; a rejection for what JSON has no form for. */
export function write(value, what) {
  let json;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    throw new Reject(`${what} cannot be written as JSON: ${error.message}`);
  }
  if (json === undefined) throw new Reject(`${what} cannot be written as JSON: it is ${named(value)}`);
  return json;
}
