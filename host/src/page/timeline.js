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
    this.visible = new Set();
    // Messages whose run has not been heard of, by run.
    this.orphans = new Map();
    // Changes that come while the history is being read.
    this.held = null;
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
    this.list = el("div", { class: "cards" });
    // Whole cards would be read out at every tick; a new story is told in one sentence.
    this.told = el("p", { class: "unseen", "aria-live": "polite" });
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
      this.told,
      this.list,
    );
  }

  /** Draws every card again. */
  refresh() {
    for (const key of this.stories.byKey.keys()) this.stale.add(key);
    this.redraw();
  }

  /** Everything that is kept of the recent past; what changes meanwhile comes after it. */
  async #load() {
    this.held ??= [];
    try {
      const [events, runs, messages] = await Promise.all([
        get(`/v1/events?limit=${HISTORY_ROWS}`),
        get(`/v1/runs?limit=${HISTORY_ROWS}`),
        get(`/v1/messages?limit=${HISTORY_ROWS}`),
      ]);
      // The host may have another store than before the connection broke.
      this.stories.clear();
      for (const event of events.events) this.#touch(this.stories.putEvent(event));
      // What a plugin does about a delivery is told after the message that it is about.
      const isDelivery = (run) => run.kind === "delivery";
      for (const run of runs.runs) if (!isDelivery(run)) this.#run(run);
      for (const message of messages.messages) this.#message(message);
      for (const run of runs.runs) if (isDelivery(run)) this.#run(run);
      this.complete = true;
    } catch (error) {
      this.empty.hidden = false;
      this.empty.replaceChildren(el("p", {}, `The history cannot be read: ${error.message}`));
    }
    const held = this.held ?? [];
    this.held = null;
    for (const change of held) this.#take(change);
    this.redraw();
  }

  #take(change) {
    if (this.held) return this.held.push(change);
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

  #run(run) {
    this.#touch(this.stories.putRun(run));
    const waiting = this.orphans.get(run.id);
    this.orphans.delete(run.id);
    for (const message of waiting?.values() ?? []) this.#message(message);
  }

  #message(message) {
    const story = this.stories.putMessage(message);
    if (story) return this.#touch(story);
    const run = message.author.run;
    if (!this.orphans.has(run)) this.orphans.set(run, new Map());
    this.orphans.get(run).set(message.id, message);
    this.#fetch(`/v1/runs/${encodeURIComponent(run)}`, (full) => this.#run(full));
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
    const fresh = [];
    let before = null;
    for (const story of this.stories.sorted()) {
      keep.add(story.key);
      let node = this.cards.get(story.key);
      if (!node) {
        node = el("article", { class: "card", data: { key: story.key } });
        this.cards.set(story.key, node);
        this.#watch(node);
        if (this.loaded) node.classList.add("arrives");
        if (this.loaded) fresh.push(node);
      }
      if (this.stale.has(story.key)) {
        refill(node, ...card(story, this.stories, this.limitsOf));
        this.#filterOne(node, story);
        if (this.visible.has(story.key)) this.#details(story.key);
      }
      const next = before ? before.nextSibling : this.list.firstChild;
      // Moving a node that has the focus would lose it.
      if (node !== next && !(focused && node.contains(document.activeElement))) this.list.insertBefore(node, next);
      before = node;
    }
    for (const [key, node] of this.cards) {
      if (keep.has(key)) continue;
      this.cards.delete(key);
      this.visible.delete(key);
      this.watcher.unobserve(node);
      node.remove();
    }
    this.stale.clear();
    this.#announce(fresh.filter((node) => !node.hidden));
    this.loaded = this.complete === true;
    this.#count();
    this.#label();
  }

  #announce(fresh) {
    if (fresh.length === 0) return;
    const [first] = fresh;
    const words = [first.querySelector("h3")?.textContent, first.querySelector(".who")?.textContent].filter(Boolean).join(", ");
    this.told.textContent = fresh.length === 1 ? `New: ${words}` : `${fresh.length} new stories, the latest: ${words}`;
  }

  #watch(node) {
    this.watcher ??= new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.visible.add(target.dataset.key);
        else this.visible.delete(target.dataset.key);
        if (isIntersecting) this.#details(target.dataset.key);
      }
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
