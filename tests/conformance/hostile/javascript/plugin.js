// Goes wrong as the event says.

import { plugin } from 'relais-plugin';

const forever = {
  loop() {
    for (let turns = 0; ; turns++) if (turns < 0) return;
  },

  memory() {
    const kept = [];
    for (;;) kept.push(new Uint8Array(1 << 20).fill(7));
  },

  exception() {
    inner({});
  },

  recursion() {
    deeper(0);
  },

  log() {
    for (;;) console.info('x'.repeat(8192));
  },
};

function inner(given) {
  try {
    given.missing.field;
  } catch (cause) {
    throw new Error('told to fail', { cause });
  }
}

function deeper(depth) {
  return deeper(depth + 1) + 1;
}

export default plugin({
  onEvent(event) {
    forever[event.verb]();
  },
});
