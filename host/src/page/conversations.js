// The tab Conversations: with whom there are any, and beside the list the one that is open.

import { get } from "./api.js";
import { el, refill, soon } from "./dom.js";
import { channel, day, dayAndClock, exact, hourMinute, millis } from "./words.js";
import { Talk } from "./talk.js";

const ROWS = 40;

/** The name that an address's hash has for a conversation: the customer, or for a stranger something that they wrote. */
export function nameOf(line) {
  return line.customer === null ? `m:${line.id}` : `c:${line.customer}`;
}

/** Who is meant, the same whatever was written since. */
const whom = (to) => JSON.stringify(to ?? null);

export class Conversations {
  constructor(onUnread) {
    this.onUnread = onUnread;
    this.lines = [];
    this.next = null;
    this.list = el("ol", { class: "talks-list" });
    this.status = el("p", { class: "quiet talks-status", role: "status" });
    this.older = el("button", { class: "button", type: "button", hidden: true, on: { click: () => this.#more() } }, "Older");
    this.talk = new Talk({ back: () => (location.hash = "#conversations"), seen: () => this.load() });
    this.reload = soon(() => this.load(), 500);
    this.node = el(
      "section",
      { class: "talks", "aria-labelledby": "talks-title" },
      el("nav", { class: "talks-side", "aria-labelledby": "talks-title" }, el("h2", { id: "talks-title" }, "Conversations"), this.status, this.list, this.older),
      this.talk.node,
    );
  }

  /** What the address asks for; `null` is the list alone. */
  open(name) {
    this.node.classList.toggle("is-open", name !== null);
    this.talk.open(name);
    this.#draw();
  }

  /** Something was written, sent or reported. */
  changed(change) {
    if (change.kind === "incoming") this.reload();
    this.talk.changed(change);
  }

  async load() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    try {
      const page = await get(`/v1/conversations?limit=${ROWS}`);
      if (turn !== this.turn) return;
      this.lines = page.conversations;
      this.next = page.next;
      this.status.textContent = this.lines.length === 0 ? "Nobody has written yet." : "";
    } catch (error) {
      if (turn === this.turn) this.status.textContent = error.message;
      return;
    }
    this.#draw();
  }

  async #more() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    try {
      const page = await get(`/v1/conversations?limit=${ROWS}&before=${this.next}`);
      if (turn !== this.turn) return;
      // Somebody on an earlier page may be on this one too, with another address of theirs.
      const known = new Set(this.lines.map((line) => whom(line.to)));
      this.lines.push(...page.conversations.filter((line) => !known.has(whom(line.to))));
      this.next = page.next;
    } catch (error) {
      this.status.textContent = error.message;
      return;
    }
    this.#draw();
  }

  #draw() {
    const open = whom(this.talk.to);
    refill(this.list, ...this.lines.map((line) => row(line, this.talk.to !== null && whom(line.to) === open)));
    this.older.hidden = this.next === null;
    this.onUnread(this.lines.filter((line) => line.unread > 0).length);
  }
}

function row(line, isOpen) {
  const { last } = line;
  const name = line.name ?? line.customer ?? line.to.phone ?? line.to.whatsapp_id;
  const today = new Date(millis(last.time)).toDateString() === new Date().toDateString();
  const unread = line.unread > 0 ? el("span", { class: "count", "aria-label": `${line.unread} unread` }, line.unread >= 100 ? "99+" : String(line.unread)) : null;
  return el(
    "li",
    {},
    el(
      "a",
      { class: line.unread > 0 ? "talks-line is-unread" : "talks-line", href: `#conversations/${encodeURIComponent(nameOf(line))}`, "aria-current": isOpen ? "true" : null, data: { focus: whom(line.to) } },
      el("span", { class: "talks-name" }, name, line.customer === null ? el("span", { class: "tag" }, "unknown") : null),
      el("time", { datetime: exact(last.time), title: dayAndClock(last.time) }, today ? hourMinute(last.time) : day(last.time)),
      el("span", { class: "talks-last" }, line.channel === "whatsapp" ? null : el("span", { class: "tag" }, channel(line.channel)), last.text || `(${last.kind})`),
      unread,
    ),
  );
}
