// Messages to customers. A plugin says to whom, why and what; the host finds the channel, checks consent and falls back.

import { SendError } from './errors.js';
import { host } from './host.js';
import { pairs } from './pairs.js';
import { Delivery } from './received.js';
import { write } from './shape.js';
import { instant, millis } from './time.js';

/** A message being written; nothing is asked for before `send`. */
export class Message {
  #recipient;
  #setters = [];
  #template;
  #params = [];
  #choices = [];
  #attachment;
  #filename;

  constructor(recipient) {
    this.#recipient = recipient;
  }

  /** To a known customer: the host finds the addresses and checks consent. */
  static to(customer, purpose) {
    return new Message((Draft) => Draft.toCustomer(customer, purpose));
  }

  /** To a telephone number in E.164 form, where the manifest has the permission `phone`. */
  static toPhone(number, purpose) {
    return new Message((Draft) => Draft.toPhone(number, purpose));
  }

  /** To whoever sent a message; its purpose is `reply`. */
  static answer(incoming) {
    return new Message((Draft) => Draft.answer(incoming.id));
  }

  #with(setter) {
    this.#setters.push(setter);
    return this;
  }

  because(reference) {
    return this.#with((draft) => draft.because(reference));
  }

  text(text) {
    return this.#with((draft) => draft.text(text));
  }

  template(name, params = {}) {
    this.#template = name;
    for (const [param, value] of Object.entries(params)) this.param(param, value);
    return this;
  }

  param(name, value) {
    this.#params.push([name, String(value)]);
    return this;
  }

  attachUrl(url, mimeType) {
    this.#attachment = (draft, filename) => draft.attachUrl(url, mimeType, filename);
    return this;
  }

  attachAsset(path) {
    this.#attachment = (draft) => draft.attachAsset(path);
    return this;
  }

  attachBytes(content, mimeType) {
    this.#attachment = (draft, filename) => draft.attachBytes(content, mimeType, filename);
    return this;
  }

  filename(name) {
    this.#filename = name;
    return this;
  }

  location({ latitude, longitude, name, address }) {
    return this.#with((draft) => draft.location({ latitude, longitude, name, address }));
  }

  choice(id, label, attributes = {}) {
    this.#choices.push({ id, label, attributes: pairs(attributes) });
    return this;
  }

  content(kind, data) {
    const json = write(data, `content \`${kind}\``);
    return this.#with((draft) => draft.content(kind, json));
  }

  smsText(text) {
    return this.#with((draft) => draft.smsText(text));
  }

  noSms() {
    return this.#with((draft) => draft.noSms());
  }

  smsOnly() {
    return this.#with((draft) => draft.smsOnly());
  }

  fallbackAfter(wait) {
    const length = millis(wait);
    return this.#with((draft) => draft.fallbackAfter(length));
  }

  expires(at) {
    const time = instant(at);
    return this.#with((draft) => draft.expires(time));
  }

  dedupKey(key) {
    return this.#with((draft) => draft.dedupKey(key));
  }

  locale(tag) {
    return this.#with((draft) => draft.locale(tag));
  }

  tag(tag) {
    return this.#with((draft) => draft.tag(tag));
  }

  quote(id) {
    return this.#with((draft) => draft.quote(id));
  }

  setting(name, value) {
    return this.#with((draft) => draft.setting(name, value));
  }

  /** Asks for the message, to be sent once the run has ended well. Throws a SendError where it is refused. */
  send() {
    const draft = this.#recipient(host('messages').Draft);
    if (this.#template !== undefined) draft.template(this.#template, this.#params);
    for (const setter of this.#setters) setter(draft);
    this.#attachment?.(draft, this.#filename);
    if (this.#choices.length > 0) draft.choices(this.#choices);
    try {
      return draft.send();
    } catch (error) {
      throw error?.payload?.tag ? new SendError(error.payload) : error;
    }
  }

  /**
   * The same, but goes on without the message where the reason lies with the customer and nobody has to repair
   * anything: no consent, no address, quota used up, too late. The log says so.
   */
  sendOrSkip() {
    try {
      return this.send();
    } catch (error) {
      if (!(error instanceof SendError && error.isAboutTheCustomer)) throw error;
      host('run').log('info', `no message: ${error.message}`);
      return undefined;
    }
  }
}

/** Asks that a message not be sent, or not fall back, where it can still be stopped. */
export const cancel = (id) => host('messages').cancel(id);

/** What is known of a message that this plugin sent. */
export const status = (id) => {
  const found = host('messages').status(id);
  return found ? new Delivery(found) : undefined;
};

/** The bytes of a file that a customer sent, where they can be had. */
export const media = (id) => host('messages').media(id) ?? undefined;
