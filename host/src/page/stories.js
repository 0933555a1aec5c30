// What the page knows, grouped into stories: what set it off (an event, a timer, what a customer wrote), its runs, and their
// messages with receipts. Views come from lists and from the stream, in any order and repeatedly; the latest replaces.

import { millis } from "./words.js";

// More than anybody scrolls through, and light enough for a phone.
const STORIES_MAX = 200;

export class Stories {
  constructor() {
    this.clear();
  }

  clear() {
    this.byKey = new Map();
    this.ofRun = new Map();
    this.ofMessage = new Map();
    this.receipts = new Map();
  }

  get size() {
    return this.byKey.size;
  }

  /** Latest first. */
  sorted() {
    return [...this.byKey.values()].sort((a, b) => b.at - a.at || (b.event?.seq ?? 0) - (a.event?.seq ?? 0));
  }

  putEvent(event) {
    const story = this.#story(`event:${event.id}`, "event", event.received);
    // The stream's view has no notes or runs; what the list said of them stays.
    story.event = { ...story.event, ...event };
    for (const run of event.runs ?? []) this.putRun(run);
    return story;
  }

  putIncoming(incoming) {
    const story = this.#story(`incoming:${incoming.id}`, "incoming", incoming.received);
    story.incoming = incoming;
    return story;
  }

  /** The stream says how many runs an event set off, before anything is known of them. */
  expectRuns(event, count) {
    this.putEvent(event).expected = count;
  }

  putRun(run) {
    const story = this.#story(this.#keyOfRun(run), run.kind, run.accepted);
    story.runs.set(run.id, run);
    this.ofRun.set(run.id, story.key);
    for (const id of run.effects?.messages ?? []) this.ofMessage.set(id, story.key);
    return story;
  }

  #keyOfRun(run) {
    switch (run.kind) {
      case "event":
        return `event:${run.cause}`;
      case "message":
        return `incoming:${run.cause}`;
      case "delivery":
        // What a plugin does about a delivery belongs to the story of that message.
        return this.ofMessage.get(run.cause) ?? `delivery:${run.cause}`;
      default:
        return `timer:${run.id}`;
    }
  }

  /** Gives null where the run that asked for it is not known yet. */
  putMessage(message) {
    const run = message.author?.run;
    const key = this.ofMessage.get(message.id) ?? (run ? this.ofRun.get(run) : `message:${message.id}`);
    if (!key) return null;
    const story = this.#story(key, key.slice(0, key.indexOf(":")), message.created);
    const before = story.messages.get(message.id);
    story.messages.set(message.id, { ...message, story: message.story ?? before?.story });
    this.ofMessage.set(message.id, key);
    for (const line of message.story ?? []) if (line.kind === "receipt") this.putReceipt(message, line);
    return story;
  }

  putReceipt(message, receipt) {
    const no = receipt.attempt ?? message.attempts.find((one) => one.provider_id === receipt.provider_id)?.no;
    if (!no) return;
    const name = `${message.id}/${no}`;
    const times = this.receipts.get(name) ?? {};
    times[receipt.state] ??= millis(receipt.time);
    this.receipts.set(name, times);
  }

  /** When each state of an attempt was first reported. */
  timesOf(message, attempt) {
    return this.receipts.get(`${message.id}/${attempt.no}`) ?? {};
  }

  #story(key, kind, time) {
    let story = this.byKey.get(key);
    if (!story) {
      story = { key, kind, at: millis(time) ?? 0, event: null, incoming: null, runs: new Map(), messages: new Map() };
      this.byKey.set(key, story);
      this.#forget();
    }
    return story;
  }

  #forget() {
    if (this.byKey.size <= STORIES_MAX) return;
    const oldest = [...this.byKey.values()].reduce((a, b) => (b.at < a.at ? b : a));
    this.byKey.delete(oldest.key);
    for (const id of oldest.runs.keys()) this.ofRun.delete(id);
    for (const message of oldest.messages.values()) {
      this.ofMessage.delete(message.id);
      for (const attempt of message.attempts) this.receipts.delete(`${message.id}/${attempt.no}`);
    }
  }
}

/** Everything about a story that the filter looks at, in small letters. */
export function haystack(story) {
  const words = [story.kind, story.event?.type, story.event?.subject, story.event?.source, story.event?.customer];
  words.push(story.incoming?.customer, story.incoming?.sender, story.incoming?.text);
  for (const run of story.runs.values()) words.push(run.plugin, run.entity, run.customer, run.state, run.failure?.kind);
  for (const message of story.messages.values()) {
    words.push(message.state, message.code, message.purpose, message.to?.customer, message.to?.phone);
    words.push(message.content?.text, message.content?.template?.name, message.content?.template?.body);
    for (const attempt of message.attempts) words.push(attempt.channel, attempt.provider, attempt.failure?.code);
  }
  return words.filter(Boolean).join(" ").toLowerCase();
}
