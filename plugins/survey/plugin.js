// Asks whether everything was right, some time after an order was collected or delivered, and hands the answer on.
//
// Between the question and the answer lies a day at most. The state remembers what was asked; a timer asks.

import { Message, config, customers, events, integer, later, optional, plugin, state, text, time, timers } from 'relais-plugin';

const Order = { order: text, shop: text, collected: optional(time), delivered: optional(time) };
const Settings = { minutes: integer({ min: 0 }), useful_hours: integer({ min: 1 }) };

const WORDS = {
  en: {
    collected: ({ order, shop }) => `You have collected order ${order} at ${shop}. Was everything right?`,
    delivered: ({ order, shop }) => `Order ${order} of ${shop} has been delivered. Was everything right?`,
    good: 'All was right',
    bad: 'Something was wrong',
    thanks: 'We are glad to hear it. Thank you!',
    sorry: (shop) => `We are sorry. ${shop} has been told and will get in touch with you.`,
    again: 'Thank you. Was everything right, or was something wrong?',
  },
  fr: {
    collected: ({ order, shop }) => `Vous avez retiré la commande ${order} chez ${shop}. Tout était en ordre ?`,
    delivered: ({ order, shop }) => `La commande ${order} de ${shop} a été livrée. Tout était en ordre ?`,
    good: 'Tout était bien',
    bad: 'Il y a un souci',
    thanks: 'Vous nous en voyez ravis. Merci !',
    sorry: (shop) => `Nous sommes désolés. ${shop} est prévenu et va vous contacter.`,
    again: 'Merci. Tout était bien, ou y a-t-il un souci ?',
  },
};

const wordsFor = (customer) => WORDS[customers.get(customer)?.language('en')] ?? WORDS.en;

export default plugin({
  onEvent(event) {
    if (event.verb === 'returned') {
      // It came back to the shop, so somebody is talking to the customer already.
      timers.cancel('ask');
      state.remove('asked');
      return;
    }
    const { order, shop, collected, delivered } = event.read(Order);
    const came = collected ?? delivered ?? event.time;
    const { minutes, useful_hours: hours } = config(Settings);
    timers.at('ask', later(came, { minutes }), {
      data: { order, shop, how: event.verb, customer: event.customerId },
      expires: later(came, { hours }),
    });
  },

  onTimer(timer) {
    const { order, shop, how, customer } = timer.read({ order: text, shop: text, how: optional(text), customer: text });
    const delivered = how === 'delivered';
    const words = wordsFor(customer);
    const sent = Message.to(customer, 'confirmation')
      .template(delivered ? 'delivery_survey' : 'order_survey', { order, shop })
      .text((delivered ? words.delivered : words.collected)({ order, shop }))
      .choice('good', words.good)
      .choice('bad', words.bad)
      .expires(later(timer.due, { hours: config(Settings).useful_hours }))
      .dedupKey(`survey/${order}`)
      .tag('survey')
      .sendOrSkip();
    if (sent) state.set('asked', { order, shop }, { ttl: '7d', customer });
  },

  onMessage(message) {
    const asked = state.get('asked');
    if (!asked) {
      console.info('an answer to a question that nobody waits for any more', { message: message.id });
      return;
    }
    const words = wordsFor(message.customerId);
    const rating = rated(message);
    if (!rating) {
      Message.answer(message).text(words.again).choice('good', words.good).choice('bad', words.bad).tag('survey').sendOrSkip();
      return;
    }
    events.emit(
      'com.example.order.rated',
      { order: asked.order, rating, words: message.choice ? undefined : message.text },
      { subject: `order/${asked.order}`, dedupKey: `rated/${asked.order}` },
    );
    Message.answer(message).text(rating === 'good' ? words.thanks : words.sorry(asked.shop)).sendOrSkip();
    state.remove('asked');
  },
});

/** `good`, `bad`, or nothing where the words leave it open. By SMS a customer writes the choice's number or label. */
function rated({ choice, text: written }) {
  if (choice === 'good' || choice === 'bad') return choice;
  const said = written.trim().toLowerCase();
  if (/^(yes|oui|good|great|bien|merci|thanks)\b/.test(said)) return 'good';
  if (/\b(wrong|cold|missing|bad|mauvais|froid|manqu\w*)\b/.test(said)) return 'bad';
  return undefined;
}
