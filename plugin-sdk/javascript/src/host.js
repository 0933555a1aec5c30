// The contract, as the host offers it. This is the only file that names its version.
//
// Calls work while a handler runs and not before: at the top level of a module there is no host yet, because that code
// runs once, when the component is built, and what it leaves in memory is what every run begins with.

import * as calendar from 'relais:plugin/calendar@1.0.0';
import * as customers from 'relais:plugin/customers@1.0.0';
import * as events from 'relais:plugin/events@1.0.0';
import * as http from 'relais:plugin/http@1.0.0';
import * as messages from 'relais:plugin/messages@1.0.0';
import * as run from 'relais:plugin/run@1.0.0';
import * as state from 'relais:plugin/state@1.0.0';
import * as timers from 'relais:plugin/timers@1.0.0';

const interfaces = { calendar, customers, events, http, messages, run, state, timers };

let inRun = false;

/** Whether a handler is running, so that there is a host to talk to. */
export const running = () => inRun;

/** Said by the component's exports before they call a handler. */
export function begin() {
  inRun = true;
}

/** An interface of the contract; fails with a sentence where there is no run, and not with a trap. */
export function host(name) {
  if (!inRun) {
    throw new Error(
      `relais:plugin/${name} was called at the top level of a module: that code runs when the component is built. Call it in a handler.`,
    );
  }
  return interfaces[name];
}
