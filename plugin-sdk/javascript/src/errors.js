// How a handler says that it did not do its work. Any other exception counts as a rejection, with its stack.

import { pairs } from './pairs.js';
import { millis } from './time.js';

/** Worth trying again: the host runs the handler later, with growing pauses, and at last sets the run aside. */
export class Retry extends Error {
  constructor(message, options = {}) {
    super(message, options);
    this.name = 'Retry';
    this.after = options.after;
    this.attributes = options.attributes;
  }
}

/** Not worth trying again: the host sets the run aside at once, with this reason. */
export class Reject extends Error {
  constructor(message, options = {}) {
    super(message, options);
    this.name = 'Reject';
    this.attributes = options.attributes;
  }
}

const REASONS = {
  'unknown-customer': 'the host knows no such customer',
  'no-address': 'the customer has no address on an allowed channel',
  'template-needed': 'the 24-hour window is closed, SMS is ruled out and there is no template',
  expired: 'it is too late for this message',
};

// Nobody has made a mistake and nothing is to be repaired: this customer cannot or does not want to be written to now.
const ABOUT_THE_CUSTOMER = new Set(['no-address', 'no-consent', 'over-quota', 'expired']);

/** Why a message was not taken. */
export class SendError extends Error {
  constructor(payload) {
    super(`the message was not taken: ${payload.tag}: ${payload.val ?? REASONS[payload.tag] ?? 'no further reason'}`);
    this.name = 'SendError';
    this.code = payload.tag === 'other' ? payload.val : payload.tag;
    this.detail = payload.val ?? undefined;
  }

  get isAboutTheCustomer() {
    return ABOUT_THE_CUSTOMER.has(this.code);
  }
}

// The host keeps a run's last words, and a stack of a deep recursion would push out everything else.
const STACK_CHARACTERS_MAX = 4000;

/** The failure that the contract knows, made of whatever a handler threw. */
export function failure(thrown, places) {
  const attributes = pairs(thrown?.attributes);
  if (thrown instanceof Retry) {
    const after = thrown.after === undefined ? undefined : millis(thrown.after);
    return { tag: 'retry', val: { message: thrown.message, detail: causes(thrown, places), after, attributes } };
  }
  // These two are answers, and their author has said it all; everything else is a surprise, and needs its stack.
  if (thrown instanceof Reject || thrown instanceof SendError) {
    return { tag: 'reject', val: { message: thrown.message, detail: causes(thrown, places), attributes } };
  }
  const detail = described(thrown, places);
  const message = detail.split('\n', 1)[0];
  // A service that could not be asked may be there in a minute.
  if (thrown?.mayPass === true) return { tag: 'retry', val: { message, detail, after: thrown.after, attributes: [] } };
  return { tag: 'reject', val: { message, detail, attributes: [] } };
}

const causes = (thrown, places) => (thrown.cause === undefined ? undefined : `Caused by: ${described(thrown.cause, places)}`);

/** An error with its stack and its causes, by the names and lines of the author's files. */
export function described(thrown, places) {
  if (!(thrown instanceof Error)) return `thrown: ${safely(() => String(thrown))}`;
  const lines = [`${thrown.name}: ${thrown.message}`];
  if (thrown.stack) lines.push(places(String(thrown.stack).trimEnd()));
  if (thrown.cause !== undefined) lines.push(`Caused by: ${described(thrown.cause, places)}`);
  return lines.join('\n').slice(0, STACK_CHARACTERS_MAX);
}

function safely(write) {
  try {
    return write();
  } catch {
    return 'something that cannot be written down';
  }
}
