// The tab Messages: a table with filters, page by page, latest first.

import { get } from "./api.js";
import { el, soon } from "./dom.js";
import { chip } from "./message.js";
import { MESSAGE_STATES, channel, clock, code, day, exact, dayAndClock, preview, price, recipient } from "./words.js";

const ROWS = 50;

export class Messages {
  constructor() {
    this.next = null;
    this.paged = false;
    this.rows = el("tbody");
    this.status = el("p", { class: "quiet", role: "status" });
    this.customer = el("input", { type: "search", placeholder: "Customer", "aria-label": "Customer", autocomplete: "off", on: { input: soon(() => this.load(), 250) } });
    const states = MESSAGE_STATES.map((state) => el("option", { value: state }, code(state)));
    this.state = el("select", { "aria-label": "State", on: { change: () => this.load() } }, el("option", { value: "" }, "Every state"), ...states);
    this.older = el("button", { class: "button", type: "button", hidden: true, on: { click: () => this.#page(this.next) } }, "Older");
    const heads = ["Created", "Customer", "Message", "Plugin", "Way", "Price", "State"].map((name) => el("th", { scope: "col" }, name));
    this.reload = soon(() => this.node.isConnected && !this.paged && this.load(), 1000);
    this.node = el(
      "section",
      { class: "view", "aria-labelledby": "messages-title" },
      el("div", { class: "bar" }, el("h2", { id: "messages-title" }, "Messages"), el("div", { class: "filters" }, this.customer, this.state)),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": "messages-title" }, el("table", { class: "table" }, el("thead", {}, el("tr", {}, ...heads)), this.rows)),
      this.status,
      this.older,
    );
  }

  load() {
    return this.#page(null);
  }

  async #page(before) {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    this.paged = before !== null;
    const query = new URLSearchParams({ limit: ROWS });
    const customer = this.customer.value.trim();
    if (customer) query.set("customer", customer);
    if (this.state.value) query.set("state", this.state.value);
    if (before !== null) query.set("before", before);
    try {
      const { messages, next } = await get(`/v1/messages?${query}`);
      if (turn !== this.turn) return;
      if (before === null) this.rows.replaceChildren();
      this.rows.append(...messages.map(line));
      this.older.hidden = next === null;
      this.next = next;
      this.status.textContent = this.rows.childElementCount === 0 ? "No such messages." : "";
    } catch (error) {
      if (turn === this.turn) this.status.textContent = error.message;
    }
  }
}

function line(message) {
  const ways = message.attempts.map((one) => `${channel(one.channel)}${one.state === "failed" ? " ✕" : ""}`).join(" → ");
  const prices = message.attempts.map(price).filter(Boolean).join(" + ");
  const cells = [
    el("td", { class: "nowrap", title: exact(message.created) }, el("time", { datetime: exact(message.created), title: dayAndClock(message.created) }, `${day(message.created)}, ${clock(message.created)}`)),
    el("td", {}, recipient(message)),
    el("td", { class: "wide" }, el("a", { href: `#messages/${encodeURIComponent(message.id)}` }, preview(message.content) || "(no text)")),
    el("td", {}, message.author?.plugin ?? "HTTP"),
    el("td", { class: "nowrap" }, ways || "–"),
    el("td", { class: "nowrap number" }, prices || "–"),
    el("td", { class: "nowrap" }, chip(message.state), message.code ? el("span", { class: "quiet small" }, code(message.code)) : null),
  ];
  return el("tr", {}, ...cells);
}
