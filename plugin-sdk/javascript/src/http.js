// Requests to services that the manifest names and the operator grants. They look like `fetch`, and give their response at
// once: a run ends when its handler returns, so there is nothing to await.

import { host } from './host.js';
import { parse, read, write } from './shape.js';
import { millis } from './time.js';
import { decode, encode } from './utf8.js';

const REASONS = {
  'timed-out': 'there was no complete answer in time',
  'too-large': 'the answer is longer than the limit',
};

// The same request may well be answered in a minute; a run that ends with one of these is executed again.
const PASSING = new Set(['unreachable', 'timed-out']);
const passingStatus = (status) => [408, 425, 429].includes(status) || status >= 500;

/** Why there is no response. A response with a status such as 404 is a response, and no error. */
export class HttpError extends Error {
  constructor(payload, request, { status, after } = {}) {
    super(`${request.method} ${request.url}: ${payload.tag}: ${payload.val ?? REASONS[payload.tag] ?? 'no further reason'}`);
    this.name = 'HttpError';
    this.code = payload.tag === 'other' ? payload.val : payload.tag;
    this.detail = payload.val ?? undefined;
    this.status = status;
    this.after = after;
  }

  get mayPass() {
    return PASSING.has(this.code) || (this.status !== undefined && passingStatus(this.status));
  }
}

class Headers {
  #pairs;

  constructor(pairs) {
    this.#pairs = pairs;
  }

  get(name) {
    const wanted = name.toLowerCase();
    const found = this.#pairs.filter(([own]) => own === wanted).map(([, value]) => value);
    return found.length > 0 ? found.join(', ') : null;
  }

  has(name) {
    return this.get(name) !== null;
  }

  [Symbol.iterator]() {
    return this.#pairs[Symbol.iterator]();
  }
}

class Response {
  #body;
  #request;
  #what;

  constructor(from, request) {
    this.status = from.status;
    this.ok = from.status >= 200 && from.status < 300;
    this.url = request.url;
    this.headers = new Headers(from.headers);
    this.#body = from.body;
    this.#request = request;
    this.#what = `the answer to ${request.method} ${request.url}`;
  }

  /** This response if its status is from 200 to 299, and else an error: one that may pass has the run tried again. */
  success() {
    if (this.ok) return this;
    const seconds = Number(this.headers.get('retry-after') ?? NaN);
    const after = Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
    throw new HttpError({ tag: 'status', val: String(this.status) }, this.#request, { status: this.status, after });
  }

  bytes() {
    return this.#body;
  }

  text() {
    return decode(this.#body);
  }

  json(shape) {
    const value = parse(this.text(), this.#what);
    return shape === undefined ? value : read(shape, value, this.#what);
  }
}

function requestOf(url, { method = 'GET', headers = {}, body, json, timeout, settings = {} }) {
  const pairs = (typeof headers[Symbol.iterator] === 'function' ? [...headers] : Object.entries(headers)).map(([name, value]) => [name, String(value)]);
  if (json !== undefined && body !== undefined) throw new TypeError('a request has a `body` or a `json`, and not both');
  let bytes = typeof body === 'string' ? encode(body) : body;
  if (json !== undefined) {
    bytes = encode(write(json, `the body of ${method} ${url}`));
    if (!pairs.some(([name]) => name.toLowerCase() === 'content-type')) pairs.push(['content-type', 'application/json']);
  }
  return {
    method,
    url: String(url),
    headers: pairs,
    body: bytes,
    timeout: timeout === undefined ? undefined : millis(timeout),
    settings: Object.entries(settings),
  };
}

/** Requests to services. */
export const http = {
  fetch(url, options = {}) {
    const request = requestOf(url, options);
    try {
      return new Response(host('http').send(request), request);
    } catch (error) {
      throw error?.payload?.tag ? new HttpError(error.payload, request) : error;
    }
  },
};
