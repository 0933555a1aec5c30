// The component's exports: each calls the plugin's handler, and makes of whatever it throws a failure of the contract.

import { failure } from './errors.js';
import { flush } from './globals.js';
import { begin } from './host.js';
import { places } from './places.js';
import { handlersOf } from './plugin.js';
import { Delivery, Event, Incoming, Timer } from './received.js';

/** All four, as the world has them. The host calls those that the manifest asks for. */
export function exportsOf(plugin) {
  const handlers = handlersOf(plugin);
  return {
    onEvent: { handle: (from) => called('onEvent', handlers, () => new Event(from)) },
    onTimer: { handle: (from) => called('onTimer', handlers, () => new Timer(from)) },
    onDelivery: { handle: (from) => called('onDelivery', handlers, () => new Delivery(from)) },
    onMessage: { handle: (from) => called('onMessage', handlers, () => new Incoming(from)) },
  };
}

function called(name, handlers, received) {
  begin();
  try {
    flush();
    if (!handlers[name]) throw new TypeError(`plugin.toml asks for ${name}, and the plugin has no such handler`);
    const answer = handlers[name](received());
    if (typeof answer?.then === 'function') {
      throw new TypeError(`${name} is an async function: a run ends when its handler returns. Leave out \`async\` and \`await\``);
    }
  } catch (thrown) {
    throw failure(thrown, places);
  }
}
