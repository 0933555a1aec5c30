// Uses every interface of the contract, and writes what it saw to the log.

import { HttpError, Message, SendError, calendar, cancel, config, customers, events, http, media, plugin, run, state, status, timers } from 'relais-plugin';

const PIXEL = Uint8Array.of(0x89, 0x50, 0x4e, 0x47);
const saw = (what, seen) => console.info(`saw ${what}: ${JSON.stringify(seen)}`, { part: what });

/** What comes of a message: `sent`, or the code of its refusal. */
function outcome(message) {
  try {
    message.send();
    return 'sent';
  } catch (error) {
    if (!(error instanceof SendError)) throw error;
    return error.code;
  }
}

function ofRun() {
  saw('run', {
    attempt: run.attempt(),
    entity: run.entity(),
    customer: run.customer(),
    identified: run.id().length > 0,
    now: run.now().getTime() > 0,
    plugin: run.attribute('plugin'),
    unknown: run.attribute('no-such-name') === undefined,
    random: run.random(16).length,
    greeting: config().greeting,
    secret: run.secret('no-such-secret') === undefined,
  });
}

function ofState() {
  const before = state.get('a/1') === undefined;
  state.set('a/1', 'one', { ttl: '1h' });
  state.set('a/2', 'two', { customer: 'paul' });
  const scanned = state.scan('a/').map(([key]) => key);
  state.remove('a/1');
  saw('state', { before, scanned, removed: state.get('a/1') === undefined, kept: state.get('a/2') });
}

function ofTimers() {
  timers.after('soon', '10m', { data: { n: 2 }, expires: new Date(run.now().getTime() + 3_600_000) });
  timers.after('never', '1m');
  timers.cancel('never');
  const soon = timers.get('soon');
  saw('timers', { due_in: soon.due - run.now(), data: soon.data.n, set_by: soon.setBy, cancelled: timers.get('never') === undefined });
}

function ofCustomers() {
  const paul = customers.get('paul');
  const routes = customers.routes('paul');
  saw('customers', {
    locale: paul.locale,
    timezone: paul.timezone,
    unknown: customers.get('nobody') === undefined,
    routes: routes.filter((route) => route.addressable).map((route) => route.channel),
    consent: routes[0].consent,
    marketing: customers.consent('paul', 'whatsapp', 'marketing'),
    history: customers.history('paul', 'com.example.polite.*', 5).map((event) => event.type),
  });
}

function ofCalendar() {
  const at = calendar.parse('2026-03-29T01:30:00', 'Europe/Paris');
  const local = calendar.toLocal(at, 'Europe/Paris');
  const skipped = calendar.fromLocal({ year: 2026, month: 3, day: 29, hour: 2, minute: 30, second: 0 }, 'Europe/Paris');
  saw('calendar', {
    at: at.getTime(),
    hour: local.hour,
    weekday: local.weekday,
    skipped: skipped.getTime(),
    unknown: calendar.toLocal(at, 'Europe/Nowhere') === undefined,
    written: calendar.format(at, 'Europe/Paris', 'fr-FR', 'date'),
  });
}

function ofMessages(event) {
  const whole = () =>
    Message.to('paul', 'alert')
      .because(event.reference)
      .template('polite_note', { text: 'hello' })
      .text('hello')
      .choice('yes', 'Yes')
      .smsText('hello by SMS')
      .fallbackAfter('30s')
      .expires(new Date(run.now().getTime() + 3_600_000))
      .dedupKey('polite')
      .locale('en')
      .tag('polite');
  const id = whole().send();
  const given = Message.to('paul', 'alert').text('cancelled').smsOnly().send();
  cancel(given);
  saw('messages', {
    sent: id.length > 0,
    again: whole().send() === id,
    state: status(id).state,
    unknown: status('no-such-message') === undefined,
    phone: outcome(Message.toPhone('+33612345678', 'alert').text('no')),
    nobody: outcome(Message.to('nobody', 'alert').text('no')),
    content: outcome(Message.to('paul', 'alert').content('com.example.nothing', {})),
    setting: outcome(Message.to('paul', 'alert').text('no').setting('com.example.nothing', '1')),
    asset: outcome(Message.to('paul', 'alert').attachAsset('no-such-file.png')),
    bytes: outcome(Message.to('paul', 'alert').attachBytes(PIXEL, 'image/png').noSms()),
    url: outcome(Message.to('paul', 'alert').attachUrl('ftp://files.example/a.png', 'image/png')),
    location: outcome(Message.to('paul', 'alert').text('here').location({ latitude: 48.85, longitude: 2.35, name: 'Paris' }).smsOnly()),
  });
}

function ofHttp() {
  try {
    http.fetch('https://service.example/', { method: 'POST', json: { hello: true }, headers: { 'x-polite': 'yes' }, timeout: '2s' });
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    saw('http', { code: error.code });
  }
}

export default plugin({
  onEvent(event) {
    saw('event', {
      id: event.id,
      source: event.source,
      type: event.type,
      subject: event.subject,
      customer: event.customer,
      data: event.data.n,
      tone: event.attributes.tone,
    });
    ofRun();
    ofState();
    ofTimers();
    ofCustomers();
    ofCalendar();
    ofMessages(event);
    ofHttp();
    events.emit('com.example.polite.told', { n: 1 }, { subject: 'it', dedupKey: 'told', attributes: { tone: 'kind' } });
  },

  onTimer(timer) {
    saw('timer', { key: timer.key, data: timer.data.n, customer: timer.customer, set_by: timer.setBy });
  },

  onDelivery(delivery) {
    saw('delivery', { state: delivery.state, settled: delivery.settled, tag: delivery.tag, customer: delivery.customer });
  },

  onMessage(message) {
    saw('message', {
      text: message.text,
      kind: message.kind,
      customer: message.customer,
      channel: message.channel,
      sender: message.sender === undefined,
      media: media('no-such-file') === undefined,
      answer: outcome(Message.answer(message).text('thank you').quote(message.id)),
    });
  },
});
