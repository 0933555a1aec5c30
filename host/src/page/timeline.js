// The live timeline: recent history by GET, then every change by the stream, newest first.

import { follow, get } from "./api.js";
import { card } from "./card.js";
import { el, icon, refill, soon } from "./dom.js";
import { Stories, haystack } from "./stories.js";

// Enough to fill the timeline; older ones are under Messages.
const HISTORY_ROWS = 100;
// Ticks are many; a redraw ten times a second reads as at once.
const REDRAW_MS = 100;

export class Timeline {
  constructor({ onChange, onConnection, limitsOf }) {
    this.stories = new Stories();
    this.cards = new Map();
    this.stale = new Set();
    this.wanted = new Set();
    this.paused = false;
    this.onChange = onChange;
    this.limitsOf = limitsOf;
    this.redraw = soon(() => this.#draw(), REDRAW_MS);
    this.node = this.#frame();
    follow("/v1/stream", {
      opened: () => {
        onConnection(true);
        this.#load();
      },
      closed: () => onConnection(false),
      change: (change) => this.#take(change),
    });
  }

  #frame() {
    this.list = el("div", { class: "cards", "aria-live": "polite", "aria-relevant": "additions", role: "feed", "aria-label": "Stories, newest first" });
    this.filter = el("input", {
      type: "search",
      id: "filter",
      placeholder: "Customer, type, plugin, state…",
      "aria-label": "Filter the timeline by customer, type, plugin or state",
      autocomplete: "off",
      spellcheck: "false",
      on: { input: () => this.#filterAll() },
    });
    this.pauseButton = el("button", { class: "button", type: "button", "aria-pressed": "false", on: { click: () => this.#pause() } });
    this.empty = el("div", { class: "empty" });
    this.#label();
    return el(
      "section",
      { class: "timeline", "aria-labelledby": "timeline-title" },
      el(
        "div",
        { class: "bar" },
        el("h2", { id: "timeline-title" }, "Timeline"),
        el("label", { class: "search" }, icon("search"), this.filter),
        this.pauseButton,
      ),
      this.empty,
      this.list,
    );
  }

  /** Everything that is kept of the recent past. Runs and messages come after what they belong to. */
  async #load() {
    try {
      const [events, runs, messages] = await Promise.all([
        get(`/v1/events?limit=${HISTORY_ROWS}`),
        get(`/v1/runs?limit=${HISTORY_ROWS}`),
        get(`/v1/messages?limit=${HISTORY_ROWS}`),
      ]);
      for (const event of events.events) this.#touch(this.stories.putEvent(event));
      // Oldest first: what a plugin does about a delivery is told after the message that it is about.
      const byAge = runs.runs.toSorted((a, b) => a.seq - b.seq);
      for (const run of byAge.filter((one) => one.kind !== "delivery")) this.#touch(this.stories.putRun(run));
      for (const message of messages.messages) this.#message(message);
      for (const run of byAge.filter((one) => one.kind === "delivery")) this.#touch(this.stories.putRun(run));
      this.loaded = true;
      this.redraw();
    } catch (error) {
      this.empty.replaceChildren(el("p", {}, `The history cannot be read: ${error.message}`));
    }
  }

  #take(change) {
    switch (change.kind) {
      case "event":
        this.stories.expectRuns(change.event, change.runs);
        this.#touch(this.stories.putEvent(change.event));
        break;
      case "run":
        this.#run(change.run);
        break;
      case "message":
        this.#message(change.message);
        break;
      case "receipt":
        this.stories.putReceipt(change.message, change.receipt);
        this.#message(change.message);
        break;
      case "incoming":
        this.#touch(this.stories.putIncoming(change.incoming));
        break;
      case "lag":
        this.#load();
        break;
    }
    this.onChange(change);
  }

  /** A change of a run may say only that there is one. */
  #run(run) {
    if (!run) return;
    if (typeof run === "string" || !run.kind) return this.#fetch(`/v1/runs/${encodeURIComponent(run.id ?? run)}`, (full) => this.#run(full));
    this.#touch(this.stories.putRun(run));
  }

  #message(message) {
    const story = this.stories.putMessage(message);
    if (story) return this.#touch(story);
    // The run that asked for it has not been heard of: first the run, then the message again.
    const run = message.author.run;
    this.#fetch(`/v1/runs/${encodeURIComponent(run)}`, (full) => {
      this.#run(full);
      if (this.stories.ofRun.has(run)) this.#message(message);
    });
  }

  #touch(story) {
    if (!story) return;
    this.stale.add(story.key);
    const id = encodeURIComponent(story.key.slice(story.key.indexOf(":") + 1));
    if (story.key.startsWith("event:") && !story.event) this.#fetch(`/v1/events/${id}`, (event) => this.#touch(this.stories.putEvent(event)));
    if (story.key.startsWith("incoming:") && !story.incoming) {
      this.#fetch(`/v1/messages/${id}`, ({ incoming }) => incoming && this.#touch(this.stories.putIncoming(incoming)));
    }
    this.redraw();
  }

  /** Reads something that belongs to a story; once, however often it is missed. What is gone by then stays unknown. */
  #fetch(path, put) {
    if (this.wanted.has(path)) return;
    this.wanted.add(path);
    get(path).then(put, () => {}).finally(() => setTimeout(() => this.wanted.delete(path), 2000));
  }

  /** Receipts with their times come with a message's whole story: read for what is on the screen. */
  #details(key) {
    for (const message of this.stories.byKey.get(key)?.messages.values() ?? []) {
      const known = message.attempts.every((one) => Object.keys(this.stories.timesOf(message, one)).length > 0);
      if (message.story || known || message.attempts.length === 0) continue;
      this.#fetch(`/v1/messages/${encodeURIComponent(message.id)}`, (full) => this.#message(full));
    }
  }

  #draw() {
    if (this.paused) return this.#label();
    const focused = this.list.contains(document.activeElement);
    const keep = new Set();
    let before = null;
    for (const story of this.stories.sorted()) {
      keep.add(story.key);
      let node = this.cards.get(story.key);
      if (!node) {
        node = el("article", { class: "card", data: { key: story.key } });
        this.cards.set(story.key, node);
        this.#watch(node);
        if (this.loaded) node.classList.add("arrives");
      }
      if (this.stale.has(story.key)) {
        refill(node, ...card(story, this.stories, this.limitsOf));
        this.#filterOne(node, story);
      }
      const next = before ? before.nextSibling : this.list.firstChild;
      // Moving a node that has the focus would lose it.
      if (node !== next && !(focused && node.contains(document.activeElement))) this.list.insertBefore(node, next);
      before = node;
    }
    for (const [key, node] of this.cards) {
      if (keep.has(key)) continue;
      this.cards.delete(key);
      this.watcher.unobserve(node);
      node.remove();
    }
    this.stale.clear();
    this.#count();
    this.#label();
  }

  #watch(node) {
    this.watcher ??= new IntersectionObserver((entries) => {
      for (const entry of entries) if (entry.isIntersecting) this.#details(entry.target.dataset.key);
    });
    this.watcher.observe(node);
  }

  #filterAll() {
    for (const story of this.stories.byKey.values()) this.#filterOne(this.cards.get(story.key), story);
    this.#count();
  }

  #filterOne(node, story) {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = words.length > 0 ? haystack(story) : "";
    if (node) node.hidden = !words.every((word) => text.includes(word));
  }

  #count() {
    const shown = [...this.cards.values()].filter((node) => !node.hidden).length;
    this.empty.hidden = shown > 0;
    if (shown > 0 || !this.loaded) return;
    this.empty.replaceChildren(
      this.cards.size > 0
        ? el("p", {}, "Nothing fits this filter.")
        : el("p", {}, "Nothing has happened yet. Post an event to ", el("code", {}, "/v1/events"), ", or: ", el("code", {}, "relais event send --help")),
    );
  }

  #pause() {
    this.paused = !this.paused;
    this.pauseButton.setAttribute("aria-pressed", String(this.paused));
    this.node.classList.toggle("is-paused", this.paused);
    this.#draw();
  }

  #label() {
    const waiting = this.paused && this.stale.size > 0 ? ` (${this.stale.size})` : "";
    this.pauseButton.replaceChildren(icon(this.paused ? "play" : "pause"), el("span", {}, this.paused ? `Resume${waiting}` : "Pause"));
  }
}
