// What comes in: events, timers, deliveries and what customers write, with Dates, and `undefined` where there is nothing.

import { Reject } from './errors.js';
import { parse, read } from './shape.js';
import { date } from './time.js';

const known = (value) => value ?? undefined;
const attributes = (pairs) => Object.fromEntries(pairs);

class Received {
  #what;

  constructor(what, customer) {
    this.#what = what;
    this.customer = known(customer);
  }

  /** The customer, or a rejection that says how to name one. */
  get customerId() {
    if (this.customer === undefined) {
      throw new Reject(
        `${this.#what} names no customer: give the event the extension attribute \`customer\`, or say in the manifest where the customer stands`,
      );
    }
    return this.customer;
  }
}

class WithData extends Received {
  #what;
  #json;
  #data;

  constructor(what, from) {
    super(what, from.customer);
    this.#what = what;
    this.#json = from.data;
  }

  /** The data; parsed when it is first asked for. */
  get data() {
    this.#data ??= { value: parse(this.#json, `${this.#what}: data`) };
    return this.#data.value;
  }

  /** The data by a shape: what does not fit is rejected with the path of the field. */
  read(shape) {
    return read(shape, this.data, `${this.#what}: data`);
  }
}

export class Event extends WithData {
  constructor(from) {
    super(`event ${from.id} of ${from.eventType}`, from);
    this.id = from.id;
    this.source = from.source;
    this.type = from.eventType;
    this.subject = known(from.subject);
    this.time = date(from.time);
    this.attributes = attributes(from.attributes);
  }

  /** The last part of the type: `ready` of `com.example.order.ready`. */
  get verb() {
    return this.type.slice(this.type.lastIndexOf('.') + 1);
  }

  /** What `because` takes where an earlier event makes a message expected. */
  get reference() {
    return `${this.source}#${this.id}`;
  }
}

export class Timer extends WithData {
  constructor(from) {
    super(`timer \`${from.key}\``, from);
    this.key = from.key;
    this.due = date(from.due);
    this.setBy = from.setBy;
    this.attributes = attributes(from.attributes);
  }
}

export class Delivery extends Received {
  constructor(from) {
    super(`delivery of ${from.id}`, from.customer);
    this.id = from.id;
    this.tag = known(from.tag);
    this.state = from.state;
    this.settled = from.settled;
    this.channel = from.channel;
    this.time = date(from.time);
    this.code = known(from.code);
    this.detail = known(from.detail);
    this.attributes = attributes(from.attributes);
  }
}

const media = (from) => ({
  id: from.id,
  mimeType: from.mimeType,
  size: known(from.size),
  filename: known(from.filename),
  attributes: attributes(from.attributes),
});

const place = (from) =>
  from && { latitude: from.latitude, longitude: from.longitude, name: known(from.name), address: known(from.address) };

export class Incoming extends Received {
  constructor(from) {
    super(`message ${from.id}`, from.customer);
    this.id = from.id;
    this.sender = known(from.sender);
    this.channel = from.channel;
    this.time = date(from.time);
    this.kind = from.kind;
    this.text = from.text;
    this.choice = known(from.choice);
    this.media = from.media.map(media);
    this.location = known(place(from.location));
    this.inReplyTo = known(from.inReplyTo);
    this.tag = known(from.tag);
    this.opening = from.opening;
    this.windowEnds = date(from.windowEnds);
    this.attributes = attributes(from.attributes);
  }
}
