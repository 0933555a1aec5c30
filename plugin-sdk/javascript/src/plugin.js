// The plugin itself: an object with the handlers that its manifest asks for.

const NAMES = ['onEvent', 'onTimer', 'onDelivery', 'onMessage'];

/** Declares a plugin. A misspelt handler is found here, which is when the component is built. */
export function plugin(handlers) {
  for (const [name, handler] of Object.entries(handlers)) {
    if (!NAMES.includes(name)) throw new TypeError(`there is no handler \`${name}\`; there are ${NAMES.join(', ')}`);
    if (typeof handler !== 'function') throw new TypeError(`\`${name}\` is no function`);
  }
  return { handlers };
}

export function handlersOf(declared) {
  if (!declared?.handlers) {
    throw new TypeError('the entry file has no plugin: write `export default plugin({ onEvent(event) { … } })`');
  }
  return declared.handlers;
}
