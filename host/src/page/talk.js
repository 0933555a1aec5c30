// One conversation: what was said, until when a reply may go out, and the line to write it in.

import { get, post } from "./api.js";
import { el, icon, prose, soon } from "./dom.js";
import { said } from "./said.js";
import { channel, day, exact, hourMinute, millis } from "./words.js";

const ROWS = 40;
// The provider shows it for 25 s; oftener would be a request for nothing.
const TYPING_MS = 20_000;
const TEXT_CHARS_MAX = 4096;

export class Talk {
  constructor({ back, seen }) {
    this.seen = seen;
    this.name = null;
    this.to = null;
    this.entries = [];
    this.reload = soon(() => this.#read(), 300);
    this.title = el("h3", { id: "talk-title" });
    this.about = el("p", { class: "quiet small" });
    this.older = el("button", { class: "button", type: "button", hidden: true, on: { click: () => this.#older() } }, "Earlier");
    this.thread = el("ol", { class: "talk-thread", role: "log", "aria-labelledby": "talk-title", tabindex: "0" });
    this.scroll = el("div", { class: "talk-scroll" }, this.older, this.thread);
    this.window = el("p", { class: "talk-window", role: "status" });
    this.quoted = el("div", { class: "talk-quoting", hidden: true });
    this.text = el("textarea", { id: "talk-text", rows: "2", maxlength: String(TEXT_CHARS_MAX), "aria-label": "Reply", placeholder: "Reply", on: { input: () => this.#typed(), keydown: (event) => this.#key(event) } });
    this.send = el("button", { class: "button primary", type: "submit" }, icon("send"), "Send");
    this.error = el("p", { class: "why bad talk-error", role: "alert", hidden: true });
    const submit = (event) => {
      event.preventDefault();
      this.#reply();
    };
    this.empty = el("p", { class: "empty" }, "Choose a conversation.");
    this.inside = el(
      "div",
      { class: "talk-inside", hidden: true },
      el("header", { class: "talk-head" }, el("button", { class: "button icon-only talk-back", type: "button", "aria-label": "Back to the list", on: { click: back } }, icon("back")), el("div", { class: "grow" }, this.title, this.about)),
      this.scroll,
      el("form", { class: "talk-form", on: { submit } }, this.window, this.quoted, this.error, el("div", { class: "talk-line" }, this.text, this.send)),
    );
    this.node = el("div", { class: "talk" }, this.empty, this.inside);
  }

  open(name) {
    if (name === this.name) return;
    this.name = name;
    this.to = null;
    this.entries = [];
    this.key = null;
    this.typed = 0;
    this.text.value = "";
    this.inside.hidden = name === null;
    this.empty.hidden = name !== null;
    this.thread.replaceChildren();
    this.#quote(null);
    this.#fail(null);
    if (name !== null) this.#read();
  }

  changed(change) {
    if (this.name === null || !["incoming", "message", "receipt"].includes(change.kind)) return;
    const of = change.incoming ?? change.message;
    const to = change.message?.to ?? {};
    const own = this.to !== null && Object.values(this.to)[0];
    const concerns = [of.customer, of.sender, to.customer, to.phone, to.whatsapp_id].includes(own) || this.entries.some((entry) => entry.id === of.id || entry.sender === of.sender);
    if (concerns) this.reload();
  }

  /** The path of the conversation, or of what is done with it. */
  #path(verb) {
    const [kind, id] = [this.name.slice(0, 1), encodeURIComponent(this.name.slice(2))];
    if (kind === "c") return `/v1/customers/${id}/${verb ?? "conversation"}`;
    return `/v1/conversations/${id}${verb ? `/${verb}` : ""}`;
  }

  async #read() {
    const { name } = this;
    if (name === null) return;
    try {
      const page = await get(`${this.#path()}?limit=${ROWS}`);
      if (name !== this.name) return;
      // What was read of earlier pages stays.
      const fresh = new Set(page.messages.map((entry) => entry.id));
      const kept = this.entries.filter((entry) => !fresh.has(entry.id));
      const first = this.entries.length === 0;
      const news = page.messages.some((entry) => entry.direction === "in" && !this.entries.some((one) => one.id === entry.id));
      this.entries = [...kept, ...page.messages];
      if (first) this.next = page.next;
      this.page = page;
      this.to = page.to;
      this.#draw(first);
      this.#fail(null, "load");
      if (news) this.#markRead();
    } catch (error) {
      if (name === this.name) this.#fail(error.message, "load");
    }
  }

  async #older() {
    const { name } = this;
    try {
      const page = await get(`${this.#path()}?limit=${ROWS}&before=${this.next}`);
      if (name !== this.name) return;
      const height = this.scroll.scrollHeight;
      this.entries = [...page.messages, ...this.entries];
      this.next = page.next;
      this.#draw(false);
      // What was looked at stays where it is.
      this.scroll.scrollTop += this.scroll.scrollHeight - height;
    } catch (error) {
      this.#fail(error.message, "load");
    }
  }

  async #markRead(typing = false) {
    if (document.visibilityState !== "visible") return;
    try {
      await post(this.#path("read"), { typing });
      if (!typing) this.seen();
    } catch {
      // A mark that is missing is seen in the list, and made when the conversation is opened again.
    }
  }

  #draw(first) {
    const { page } = this;
    const atEnd = first || this.scroll.scrollTop + this.scroll.clientHeight >= this.scroll.scrollHeight - 40;
    this.title.textContent = page.name ?? page.customer ?? Object.values(page.to ?? {})[0] ?? "";
    this.about.replaceChildren(page.customer === null ? "not registered as a customer" : `customer ${page.customer}`);
    this.older.hidden = this.next === null;
    const byId = new Map(this.entries.map((entry) => [entry.id, entry]));
    const reactions = new Map();
    for (const entry of this.entries) {
      const emoji = entry.direction === "in" ? (entry.kind === "reaction" ? entry.text : undefined) : entry.content.special?.reaction?.emoji;
      if (emoji !== undefined && byId.has(entry.quotes)) reactions.set(`${entry.quotes}/${entry.direction}`, emoji);
    }
    const nodes = [];
    let today = "";
    for (const entry of this.entries) {
      const date = day(entry.time);
      if (date !== today) nodes.push(el("li", { class: "talk-day" }, (today = date)));
      const marks = ["in", "out"].map((who) => reactions.get(`${entry.id}/${who}`)).filter(Boolean);
      const node = said(entry, { quoted: byId.get(entry.quotes), marks, hasTarget: byId.has(entry.quotes), quote: () => this.#quote(entry) });
      if (node) nodes.push(node);
    }
    this.thread.replaceChildren(...nodes);
    this.#window(page.window);
    if (atEnd) this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  #window({ open, ends, why, channel: on }) {
    this.window.className = open ? "talk-window is-open" : "talk-window";
    const until = open && new Date(millis(ends)).toDateString() === new Date().toDateString() ? hourMinute(ends) : `${day(ends)}, ${hourMinute(ends)}`;
    this.window.replaceChildren(
      icon(open ? "clock" : "pause"),
      open
        ? el("span", {}, `You can reply by ${channel(on)} until `, el("time", { datetime: exact(ends) }, until), ".")
        : el("span", {}, "You cannot reply now: ", ...prose(why), "."),
    );
    this.text.disabled = !open;
    this.send.disabled = !open;
  }

  #quote(entry) {
    this.quoting = entry;
    this.quoted.hidden = entry === null;
    if (entry === null) return;
    const drop = el("button", { class: "button icon-only", type: "button", "aria-label": "Do not quote", on: { click: () => this.#quote(null) } }, icon("cross"));
    this.quoted.replaceChildren(icon("reply"), el("span", { class: "grow" }, words(entry)), drop);
    this.key = null;
    this.text.focus();
  }

  #key(event) {
    // As everywhere: Enter sends, and with Shift it is a new line. In the middle of composing a character it is neither.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#reply();
  }

  #typed() {
    // Another text is another message.
    this.key = null;
    this.#fail(null);
    const now = Date.now();
    if (this.text.value && this.page?.window.channel === "whatsapp" && now - this.typed > TYPING_MS) {
      this.typed = now;
      this.#markRead(true);
    }
  }

  async #reply() {
    const text = this.text.value.trim();
    const { name, page, quoting } = this;
    if (!text || this.sending || !page?.window.open) return;
    this.sending = true;
    this.send.disabled = true;
    // The same until it was taken, so that a reply whose answer was lost is not sent twice.
    this.key ??= [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const body = { to: page.to, purpose: "reply", because: { message: page.window.because }, text };
    if (page.window.channel === "sms") body.sms = "only";
    if (quoting) body.quote = quoting.id;
    try {
      await post("/v1/messages", body, { "Idempotency-Key": this.key });
      if (name !== this.name) return;
      this.key = null;
      this.typed = 0;
      this.text.value = "";
      this.#quote(null);
      this.#fail(null);
      await this.#read();
    } catch (error) {
      if (name === this.name) this.#fail(error.message);
    } finally {
      this.sending = false;
      this.send.disabled = !this.page?.window.open;
    }
  }

  #fail(text, of = "reply") {
    if (text === null && this.failed !== undefined && this.failed !== of) return;
    this.failed = text === null ? undefined : of;
    this.error.hidden = text === null;
    this.error.replaceChildren(...(text === null ? [] : [icon("cross"), el("span", {}, ...prose(text))]));
  }
}

function words(entry) {
  return (entry.direction === "in" ? entry.text : (entry.content.text ?? entry.content.template?.body)) || `(${entry.kind ?? entry.rendition ?? "message"})`;
}
