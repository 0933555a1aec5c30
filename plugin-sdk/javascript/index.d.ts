// What a plugin imports. The contract itself, with a reason for everything, is `wit/`.

/** Declares a plugin, with the handlers that its manifest asks for: `export default plugin({ onEvent(event) { … } })`. */
export function plugin(handlers: Handlers): Plugin;

export interface Plugin {
  readonly handlers: Handlers;
}

/**
 * Each call is a run: a fresh instance, and a transaction. What a handler asks for is kept if it returns, all of it at
 * once; or not at all if it throws. A `Retry` is tried again later; everything else is set aside with its stack.
 * Handlers are plain functions and not `async`: a run ends when its handler returns.
 */
export interface Handlers {
  /** An event that the manifest subscribes to. */
  onEvent?(event: Event): void;
  /** A timer that the plugin set for this entity has come due. */
  onTimer?(timer: Timer): void;
  /** Something has become of a message that the plugin sent. */
  onDelivery?(delivery: Delivery): void;
  /** A customer has written. */
  onMessage?(message: Incoming): void;
}

/** A length of time: milliseconds, `'90s'`, `'1h30m'` (units ms, s, m, h, d), or `{ hours: 1, minutes: 30 }`. */
export type Duration = number | string | DurationFields;

export interface DurationFields {
  milliseconds?: number;
  seconds?: number;
  minutes?: number;
  hours?: number;
  days?: number;
}

/** Milliseconds of a length of time. */
export function millis(length: Duration): number;
/** The Date so much later. */
export function later(from: Date, length: Duration): Date;

/** Names and values; values are written as strings. */
export type Attributes = Record<string, string | number | boolean>;

/** What JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

// ---- What comes in

/** Something that happened, as CloudEvents 1.0 describes it. */
export interface Event {
  /** Unique together with `source`. */
  readonly id: string;
  /** Who says so, a URI reference: `/shop/paris`. */
  readonly source: string;
  /** What happened: `com.example.order.ready`. */
  readonly type: string;
  /** What it happened to, by the source's own name for it. */
  readonly subject: string | undefined;
  readonly time: Date;
  /** The customer concerned, where the host could tell. */
  readonly customer: string | undefined;
  /** The customer, or a rejection that says how to name one. */
  readonly customerId: string;
  /** CloudEvents extension attributes, `datacontenttype` and `dataschema`. */
  readonly attributes: Readonly<Record<string, string>>;
  /** The data as it is; `read` checks it. */
  readonly data: any;
  /** The last part of the type: `ready` of `com.example.order.ready`. */
  readonly verb: string;
  /** What `Message.because` takes where an earlier event makes a message expected. */
  readonly reference: string;
  /** The data by a shape: `event.read({ order: text, minutes: optional(integer()) })`. What does not fit is rejected with its path. */
  read<S extends ShapeOf>(shape: S): Read<S>;
}

export interface Timer {
  /** The key that it was set with. */
  readonly key: string;
  /** When it was to be called, at or before now. */
  readonly due: Date;
  /** The customer whom the run that set it concerned. */
  readonly customer: string | undefined;
  readonly customerId: string;
  /** What it was set with. */
  readonly data: any;
  /** The version of the plugin that set it: `data` is in that version's form. */
  readonly setBy: string;
  readonly attributes: Readonly<Record<string, string>>;
  read<S extends ShapeOf>(shape: S): Read<S>;
}

export type DeliveryState =
  | 'pending'
  | 'sent'
  | 'delivered'
  | 'read'
  | 'falling-back'
  | 'failed'
  | 'expired'
  | 'cancelled';

/** What has become of a message. */
export interface Delivery {
  readonly id: string;
  /** The tag it was sent with. */
  readonly tag: string | undefined;
  readonly customer: string | undefined;
  readonly customerId: string;
  readonly state: DeliveryState;
  /** Nothing follows but `read`. */
  readonly settled: boolean;
  readonly channel: Channel;
  readonly time: Date;
  /** Why it failed or falls back, a code of the registry: `not-on-whatsapp`, `unreachable`, … */
  readonly code: string | undefined;
  /** The provider's own words. */
  readonly detail: string | undefined;
  readonly attributes: Readonly<Record<string, string>>;
}

/** What a customer wrote. */
export interface Incoming {
  readonly id: string;
  /** Absent where the sender is no known customer. */
  readonly customer: string | undefined;
  readonly customerId: string;
  /** The number, or the channel's name for the sender, where the manifest has the permission `phone`. Nobody needs it to answer. */
  readonly sender: string | undefined;
  readonly channel: Channel;
  readonly time: Date;
  readonly kind: 'text' | 'choice' | 'image' | 'audio' | 'video' | 'document' | 'location' | (string & {});
  /** What was written, the label tapped, or the caption; empty if none. */
  readonly text: string;
  /** The identifier of the choice tapped. */
  readonly choice: string | undefined;
  readonly media: readonly IncomingMedia[];
  readonly location: Place | undefined;
  /** The message that it answers, and the tag it was sent with. */
  readonly inReplyTo: string | undefined;
  readonly tag: string | undefined;
  /** Nothing was exchanged with this sender in the last 24 hours. */
  readonly opening: boolean;
  /** Free content is allowed until then. */
  readonly windowEnds: Date | undefined;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface IncomingMedia {
  readonly id: string;
  readonly mimeType: string;
  readonly size: number | undefined;
  readonly filename: string | undefined;
  readonly attributes: Readonly<Record<string, string>>;
}

/** A place, in WGS 84 degrees. */
export interface Place {
  latitude: number;
  longitude: number;
  name?: string | undefined;
  address?: string | undefined;
}

export type Channel = 'whatsapp' | 'sms' | (string & {});

// ---- Messages

/** Why the customer expects a message. There is no case for promotion. */
export type Purpose = 'reply' | 'confirmation' | 'alert' | 'reminder';

/** A message being written; nothing is asked for before `send`. With a text and a template, the text is sent while the customer's 24-hour window is open. */
export class Message {
  private constructor();
  /** To a known customer: the host finds the addresses and checks consent. */
  static to(customer: string, purpose: Purpose): Message;
  /** To a telephone number in E.164 form, where the manifest has the permission `phone`. */
  static toPhone(number: string, purpose: Purpose): Message;
  /** To whoever sent a message; its purpose is `reply`. */
  static answer(incoming: { readonly id: string }): Message;
  /** What makes it expected, where that is not what set off this run: an event's `reference`, or a message's id. */
  because(reference: string): this;
  /** The text, or the caption of the attachment. */
  text(text: string): this;
  /** A template that the manifest names, with its parameters. */
  template(name: string, params?: Record<string, string | number>): this;
  param(name: string, value: string | number): this;
  /** A picture, a sound, a film or a document at an https URL; its MIME type says which. */
  attachUrl(url: string, mimeType: string): this;
  /** A file of the plugin's package. */
  attachAsset(path: string): this;
  attachBytes(content: Uint8Array, mimeType: string): this;
  /** How the attached file is called. */
  filename(name: string): this;
  location(place: Place): this;
  /** One more answer to tap, or to number where there is no tapping. */
  choice(id: string, label: string, attributes?: Attributes): this;
  /** Content of a kind that has no method here, by the registry's name. */
  content(kind: string, data: unknown): this;
  /** How it reads as SMS; derived from the content where this is not called. */
  smsText(text: string): this;
  noSms(): this;
  smsOnly(): this;
  /** Falls back to SMS when it is not delivered after this time. */
  fallbackAfter(wait: Duration): this;
  /** Not worth delivering later than this, on any channel. */
  expires(at: Date): this;
  /** At most one message with this key from this plugin to this recipient. */
  dedupKey(key: string): this;
  /** The language, BCP 47, where it is not the customer's own. */
  locale(tag: string): this;
  /** Given back in `Delivery.tag` and `Incoming.tag`. */
  tag(tag: string): this;
  /** Quotes a message of the conversation. */
  quote(id: string): this;
  /** A setting that has no method here, by the registry's name. */
  setting(name: string, value: string): this;
  /** Asks for the message, and gives its identifier. Throws a `SendError` where it is refused. */
  send(): string;
  /** The same, but goes on without it where the reason lies with the customer: no consent, no address, quota, too late. */
  sendOrSkip(): string | undefined;
}

/** Asks that a message not be sent, or not fall back, where it can still be stopped. */
export function cancel(id: string): void;
/** What is known of a message that this plugin sent. */
export function status(id: string): Delivery | undefined;
/** The bytes of a file that a customer sent, where they can be had. */
export function media(id: string): Uint8Array | undefined;

/** Why a message was not taken. */
export class SendError extends Error {
  private constructor();
  readonly code:
    | 'unknown-customer'
    | 'no-address'
    | 'no-consent'
    | 'not-expected'
    | 'template-needed'
    | 'bad-template'
    | 'bad-content'
    | 'not-permitted'
    | 'over-quota'
    | 'expired'
    | (string & {});
  readonly detail: string | undefined;
  /** Nobody has made a mistake: this customer cannot or does not want to be written to now. */
  readonly isAboutTheCustomer: boolean;
}

/** Worth trying again later; `after` says not before when. */
export class Retry extends Error {
  constructor(message: string, options?: { after?: Duration; cause?: unknown; attributes?: Attributes });
  readonly after: Duration | undefined;
}

/** Not worth trying again: set aside with this reason, and without a stack. */
export class Reject extends Error {
  constructor(message: string, options?: { cause?: unknown; attributes?: Attributes });
}

// ---- What a run may use

/** What the plugin keeps of the run's entity, as JSON. Runs about one entity never overlap: read, change, write back. */
export const state: {
  get<T = any>(key: string): T | undefined;
  set(key: string, value: unknown, options?: { ttl?: Duration; customer?: string; attributes?: Attributes }): void;
  remove(key: string): void;
  /** Every entry whose key begins with `prefix`, in the order of the keys. */
  scan<T = any>(prefix: string): [key: string, value: T][];
};

/** Alarms that outlive the run and the host. Set again with the same key, one takes the other's place. */
export const timers: {
  at(key: string, due: Date, options?: TimerOptions): void;
  after(key: string, wait: Duration, options?: TimerOptions): void;
  cancel(key: string): void;
  get(key: string): Timer | undefined;
};

export interface TimerOptions {
  /** What the handler is to find in it. */
  data?: unknown;
  /** Of no use any more after this. */
  expires?: Date;
}

export interface Customer {
  readonly id: string;
  readonly name: string | undefined;
  /** BCP 47: `fr-FR`. */
  readonly locale: string | undefined;
  /** IANA: `Europe/Paris`. */
  readonly timezone: string | undefined;
  readonly attributes: Readonly<Record<string, string>>;
  /** The language alone, `fr` of `fr-FR`. */
  language(fallback: string): string;
}

export interface Route {
  readonly channel: Channel;
  readonly addressable: boolean;
  /** The consent to messages of the four purposes. */
  readonly consent: Consent;
  readonly windowEnds: Date | undefined;
  readonly attributes: Readonly<Record<string, string>>;
}

export type Consent = 'unknown' | 'granted' | 'refused';

/** What the tenant knows of its customers, as far as the manifest permits. */
export const customers: {
  get(id: string): Customer | undefined;
  /** The ways to reach the customer, the preferred one first. */
  routes(id: string): Route[];
  /** What the customer has agreed to on a channel: `service` for the four purposes, `marketing` for templates that the provider files so. */
  consent(id: string, channel: Channel, scope?: 'service' | 'marketing' | (string & {})): Consent;
  /** The customer's latest events of a type, or of any type that begins with it where it ends in `.*`. */
  history(id: string, type: string, limit?: number): Event[];
};

export interface EmitOptions {
  subject?: string;
  /** That of the run where absent. */
  customer?: string;
  /** At most one event with this key from this plugin. */
  dedupKey?: string;
  /** CloudEvents extension attributes: lower-case letters and digits. */
  attributes?: Attributes;
}

/** Events of the plugin's own, raised once the run has ended well. */
export const events: {
  emit(type: string, data?: unknown, options?: EmitOptions): void;
};

export interface LocalTime {
  year: number;
  /** 1 to 12. */
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  /** 1 for Monday to 7 for Sunday. */
  weekday: number;
}

/** Dates as people write them; the engine has neither time zones nor `Intl`. */
export const calendar: {
  /** Reads an RFC 3339 time; one without an offset is taken in `timezone`. */
  parse(text: string, timezone: string): Date | undefined;
  toLocal(time: Date, timezone: string): LocalTime | undefined;
  fromLocal(local: Omit<LocalTime, 'weekday'>, timezone: string): Date | undefined;
  /** Written out for a reader: `mercredi 1 août`, `20 h 30`. */
  format(time: Date, timezone: string, locale: string, style?: 'date' | 'time' | 'date-time' | 'weekday'): string;
};

export interface RequestOptions {
  /** `GET` where absent. */
  method?: string;
  /** A placeholder of `run.secret` in a value is replaced by the secret, by the host. */
  headers?: Record<string, string> | Iterable<readonly [string, string]>;
  body?: string | Uint8Array;
  /** A body as JSON, with its content type. */
  json?: unknown;
  /** Gives up after this time; the host's own limit applies in any case. */
  timeout?: Duration;
  /** Settings by the registry's name. */
  settings?: Record<string, string>;
}

export interface HttpResponse {
  /** A redirect is a response like any other: it is not followed. */
  readonly status: number;
  /** The status is from 200 to 299. */
  readonly ok: boolean;
  readonly url: string;
  readonly headers: { get(name: string): string | null; has(name: string): boolean } & Iterable<[string, string]>;
  /** This response if it is `ok`, and else an `HttpError`: with a status that may pass (408, 425, 429, 5xx) the run is tried again, after `Retry-After`. */
  success(): this;
  bytes(): Uint8Array;
  text(): string;
  json<T = any>(): T;
  json<S extends ShapeOf>(shape: S): Read<S>;
}

/** Requests to services that the manifest names and the operator grants. Each carries an `Idempotency-Key` that is the same in every execution of the run. */
export const http: {
  /** Like `fetch`, and gives the response at once. Throws an `HttpError` where there is none. */
  fetch(url: string, options?: RequestOptions): HttpResponse;
};

/** Why there is no response. A run that ends with `unreachable` or `timed-out` is tried again, one with another code is set aside. */
export class HttpError extends Error {
  private constructor();
  readonly code: 'status' | 'not-permitted' | 'bad-request' | 'unreachable' | 'timed-out' | 'too-large' | 'over-quota' | (string & {});
  readonly detail: string | undefined;
  /** Of `success()`. */
  readonly status: number | undefined;
  readonly mayPass: boolean;
}

/** The run itself. */
export const run: {
  /** The same for every execution of the run. */
  id(): string;
  /** 1 for the first execution. */
  attempt(): number;
  /** What the run is about: `customer/4711`. */
  entity(): string;
  customer(): string | undefined;
  /** The time of the run, at which the clock stands still; `new Date()` is the same. */
  now(): Date;
  /** `tenant`, `plugin`, `version`, `deadline`. */
  attribute(name: string): string | undefined;
  /** Random bytes, fit for secrets, the same for every execution of the run. */
  random(count: number): Uint8Array;
  /** A code that a person can read out: `K7FM2Q`. */
  code(length: number): string;
  /** A placeholder for a secret, which the host fills in in requests that the manifest permits. */
  secret(name: string): string | undefined;
};

/** The settings: the manifest's defaults with the operator's on top; checked where a shape is given. */
export function config<T = any>(): T;
export function config<S extends ShapeOf>(shape: S): Read<S>;

// ---- Shapes

/** How data is read and checked. */
export interface Shape<T> {
  readonly expected: string;
  read(value: unknown, path: string): T;
}

export type ShapeOf = Shape<any> | { readonly [name: string]: ShapeOf };

export type Read<S> = S extends Shape<infer T> ? T : { [K in keyof S]: Read<S[K]> };

export const text: Shape<string>;
export const number: Shape<number>;
export const boolean: Shape<boolean>;
export const anything: Shape<any>;
/** A Date, of an RFC 3339 text with an offset or of milliseconds since 1970. */
export const time: Shape<Date>;
export function integer(bounds?: { min?: number; max?: number }): Shape<number>;
export function oneOf<const T extends readonly (string | number | boolean)[]>(...values: T): Shape<T[number]>;
export function optional<S extends ShapeOf>(inner: S): Shape<Read<S> | undefined>;
export function optional<S extends ShapeOf>(inner: S, fallback: Read<S>): Shape<Read<S>>;
export function list<S extends ShapeOf>(inner: S): Shape<Read<S>[]>;

declare global {
  /**
   * The host's log. `trace`, `debug`, `info`, `warn` and `error` are its levels; what is written stays, whatever becomes of the run.
   * An object at the end is the line's fields: `console.info('left to people', { kind: message.kind })`.
   */
  var console: {
    trace(...parts: unknown[]): void;
    debug(...parts: unknown[]): void;
    log(...parts: unknown[]): void;
    info(...parts: unknown[]): void;
    warn(...parts: unknown[]): void;
    error(...parts: unknown[]): void;
    dir(value: unknown): void;
    assert(holds: unknown, ...parts: unknown[]): void;
  };
}
