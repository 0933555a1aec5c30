// Tells a guest that a table is free, and once more shortly before it is given to somebody else.

import { Message, config, integer, later, plugin, text, timers, type Event, type Incoming, type Timer } from 'relais-plugin';

const Table = { restaurant: text };
const Settings = { kept_minutes: integer({ min: 1 }), last_call_minutes: integer({ min: 0 }) };

export default plugin({
  onEvent(event: Event) {
    const { restaurant } = event.read(Table);
    const { kept_minutes: kept, last_call_minutes: lastCall } = config(Settings);
    Message.to(event.customerId, 'alert')
      .template('table_free', { restaurant, minutes: kept })
      .text(`Your table at ${restaurant} is free. We keep it for ${kept} minutes.`)
      .expires(later(event.time, { minutes: kept }))
      .fallbackAfter('1m')
      .tag('table')
      .sendOrSkip();
    timers.after('last-call', { minutes: kept - lastCall }, { data: { restaurant } });
  },

  onTimer(timer: Timer) {
    const { restaurant } = timer.read(Table);
    const { last_call_minutes: lastCall } = config(Settings);
    console.info(`${timer.customerId} has not answered`);
    Message.to(timer.customerId, 'alert')
      .template('table_last_call', { restaurant, minutes: lastCall })
      .text(`Your table at ${restaurant} is kept for ${lastCall} more minutes.`)
      .sendOrSkip();
  },

  onMessage(message: Incoming) {
    timers.cancel('last-call');
    Message.answer(message).text('See you in a moment.').sendOrSkip();
  },
});
