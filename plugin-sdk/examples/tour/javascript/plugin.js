// A tour of everything that a plugin can call, one function for each interface of the contract.
//
// It is a shop's loyalty card: a purchase adds stamps, the tenth is a free coffee, and who does not fetch it is reminded.

import { Message, calendar, config, customers, events, http, integer, plugin, run, state, text, timers } from 'relais-plugin';

const Purchase = { shop: text, stamps: integer({ min: 1 }) };

export default plugin({
  // interface: on-event
  onEvent(event) {
    const { shop, stamps } = event.read(Purchase);
    const card = stamp(stamps);
    if (card.stamps < config({ needed: integer() }).needed) return;
    if (!wantsMail(event.customerId)) return;
    const code = draw();
    congratulate(event.customerId, shop, code);
    remindLater(code);
    tellTheTill(event.customerId, code);
    handOn(event.customerId, code);
    state.remove('card');
  },

  // interface: on-timer
  onTimer(timer) {
    const { code } = timer.read({ code: text });
    Message.to(timer.customerId, 'reminder').text(`Your coffee is still waiting: ${code}`).smsOnly().sendOrSkip();
  },

  // interface: on-delivery
  onDelivery(delivery) {
    if (delivery.state === 'failed') console.warn('the coffee was not announced', { code: delivery.code ?? 'none' });
  },

  // interface: on-message
  onMessage(message) {
    timers.cancel('coffee');
    Message.answer(message).text('See you soon!').sendOrSkip();
  },
});

// interface: state
function stamp(stamps) {
  const card = state.get('card') ?? { stamps: 0 };
  card.stamps += stamps;
  state.set('card', card, { ttl: '365d' });
  return card;
}

// interface: run
function draw() {
  const code = run.code(6);
  console.info('a coffee is won', { run: run.id(), attempt: run.attempt(), entity: run.entity() });
  return code;
}

// interface: customers
function wantsMail(customer) {
  if (customers.consent(customer, 'whatsapp') === 'refused') return false;
  // Not two coffees in a row to somebody who has had one a moment ago.
  return customers.history(customer, 'com.example.coffee.won', 1).every((won) => run.now() - won.time > 3_600_000);
}

// interface: calendar
function untilTheEndOfTheWeek(customer) {
  const zone = customers.get(customer)?.timezone ?? 'Europe/Paris';
  const local = calendar.toLocal(run.now(), zone);
  const sunday = new Date(run.now().getTime() + (7 - local.weekday) * 86_400_000);
  return calendar.format(sunday, zone, customers.get(customer)?.locale ?? 'en-GB', 'date');
}

// interface: messages
function congratulate(customer, shop, code) {
  Message.to(customer, 'confirmation')
    .template('coffee_won', { shop, code })
    .text(`Your next coffee at ${shop} is free until ${untilTheEndOfTheWeek(customer)}: ${code}`)
    .choice('later', 'Remind me')
    .fallbackAfter('2m')
    .dedupKey(`coffee/${code}`)
    .tag('coffee')
    .sendOrSkip();
}

// interface: timers
function remindLater(code) {
  timers.after('coffee', '2d', { data: { code }, expires: new Date(run.now().getTime() + 7 * 86_400_000) });
}

// interface: http
function tellTheTill(customer, code) {
  const token = run.secret('till-token');
  const headers = { authorization: `Bearer ${token}` };
  http.fetch('https://till.example/coffees', { method: 'POST', headers, json: { customer, code }, timeout: '2s' }).success();
}

// interface: events
function handOn(customer, code) {
  events.emit('com.example.coffee.won', { code }, { subject: `customer/${customer}`, dedupKey: code, attributes: { tone: 'kind' } });
}
