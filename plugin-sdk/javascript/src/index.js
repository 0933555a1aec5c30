// Everything that a plugin imports. `index.d.ts` describes it.

export { Reject, Retry, SendError } from './errors.js';
export { calendar, config, customers, events, run, state, timers } from './run.js';
export { HttpError, http } from './http.js';
export { Message, cancel, media, status } from './message.js';
export { plugin } from './plugin.js';
export { anything, boolean, integer, list, number, oneOf, optional, text, time } from './shape.js';
export { later, millis } from './time.js';
