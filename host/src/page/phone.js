// One phone: who holds it, whether it is online, its WhatsApp and SMS screens, and a line to write with.

import { bubble, fate } from "./bubble.js";
import { el, icon } from "./dom.js";
import { hourMinute, provider } from "./words.js";

// What customers write to be left alone, in any channel.
const STOP = /^\s*(stop|arr[êe]t|unsubscribe)\b/i;
// Long enough to be seen, short enough not to lie when nothing comes.
const TYPING_MS = 3_000;
const BANNER_MS = 6_000;

export class Phone {
  constructor(number, base, post) {
    this.number = number;
    this.base = base;
    this.post = post;
    this.path = `/sim/phones/${number.replace("+", "")}`;
    this.entries = { whatsapp: new Map(), sms: new Map() };
    this.bubbles = new Map();
    // WhatsApp messages of which an SMS already says that it stands for them.
    this.told = new Set();
    this.view = {};
    this.node = this.#frame();
    this.show("whatsapp");
  }

  #frame() {
    this.name = el("h3", {});
    this.about = el("p", { class: "phone-about" });
    this.switch = el("button", { class: "switch", type: "button", role: "switch", "aria-checked": "true", on: { click: () => this.#toggle() } }, el("span", { class: "knob" }), el("span", { class: "switch-word" }));
    this.tabs = {};
    for (const [channel, word] of [["whatsapp", "WhatsApp"], ["sms", "SMS"]]) {
      this.tabs[channel] = el("button", { class: `app app-${channel}`, type: "button", on: { click: () => this.show(channel) } }, icon(channel), word, el("span", { class: "count", hidden: true }));
    }
    this.screens = { whatsapp: el("ol", { class: "thread thread-whatsapp" }), sms: el("ol", { class: "thread thread-sms" }) };
    this.banner = el("div", { class: "banner", role: "status" });
    this.input = el("input", { type: "text", autocomplete: "off", maxlength: "1000" });
    this.error = el("p", { class: "phone-error", role: "status" });
    const submit = (event) => {
      event.preventDefault();
      this.#write();
    };
    this.screen = el(
      "div",
      { class: "screen" },
      el("div", { class: "notch", "aria-hidden": "true" }),
      el("div", { class: "apps" }, this.tabs.whatsapp, this.tabs.sms),
      this.banner,
      el("div", { class: "threads" }, this.screens.whatsapp, this.screens.sms),
      this.error,
      el("form", { class: "compose", on: { submit } }, this.input, el("button", { type: "submit", "aria-label": "Send" }, icon("send"))),
    );
    return el("article", { class: "phone" }, el("header", { class: "phone-head" }, el("div", { class: "grow" }, this.name, this.about), this.switch), this.screen);
  }

  /** The phone's own state. */
  update(view) {
    this.view = view;
    this.node.setAttribute("aria-label", `Phone of ${view.name || view.number}`);
    this.name.textContent = view.name || view.number;
    this.switch.setAttribute("aria-checked", String(view.online));
    this.switch.setAttribute("aria-label", `${view.name || view.number}: internet`);
    this.switch.lastChild.textContent = view.online ? "online" : "offline";
    this.node.classList.toggle("is-offline", !view.online);
    this.node.classList.toggle("no-whatsapp", !view.whatsapp);
    this.tabs.whatsapp.title = view.whatsapp ? "" : "This phone has no WhatsApp";
    if (!view.whatsapp && this.channel === "whatsapp" && this.entries.whatsapp.size === 0) this.show("sms");
    this.#about();
  }

  #about() {
    const { view } = this;
    const wroteStop = Object.values(this.entries).some((entries) => [...entries.values()].some((one) => one.from_phone && STOP.test(one.content.text ?? "")));
    const marks = [
      view.whatsapp ? null : "no WhatsApp",
      view.sms ? null : "no SMS",
      view.blocks ? "blocks the shop" : null,
      view.hides_number ? "hides the number" : null,
      wroteStop || view.stopped ? "wrote STOP" : null,
      view.reads ? null : "no read receipts",
      view.waiting > 0 ? `${view.waiting} waiting` : null,
    ].filter(Boolean);
    this.about.replaceChildren(el("span", {}, view.number), ...marks.map((mark) => el("span", { class: "tag" }, mark)));
  }

  /** Both threads anew, as after a reconnection. */
  fill(entries) {
    for (const channel of ["whatsapp", "sms"]) {
      this.entries[channel].clear();
      this.screens[channel].replaceChildren();
    }
    this.bubbles.clear();
    this.told.clear();
    for (const channel of ["whatsapp", "sms"]) this.#missed(channel);
    for (const entry of entries) this.put(entry, false);
    const latest = (channel) => Math.max(0, ...[...this.entries[channel].values()].map((one) => one.ticks.accepted_at ?? 0));
    if (latest("sms") > latest("whatsapp")) this.show("sms");
  }

  /** A new bubble, or one whose ticks changed. `live` moves what is looked at to it. */
  put(entry, live) {
    const channel = entry.channel;
    const before = this.entries[channel].get(entry.id);
    this.entries[channel].set(entry.id, entry);
    const node = bubble(entry, {
      base: this.base,
      quoted: this.entries[channel].get(entry.content.quotes),
      tap: (button) => this.#tap(entry, button),
      resized: () => this.channel === channel && this.#scroll(),
    });
    const old = this.bubbles.get(entry.id);
    if (old) old.replaceWith(node);
    else this.screens[channel].append(...this.#instead(entry), node);
    this.bubbles.set(entry.id, node);
    if (!old && live) node.classList.add("slides-in");
    this.#forget(channel);
    const arrived = entry.ticks.delivered_at !== null;
    if (live && !entry.from_phone && arrived && (before?.ticks.delivered_at ?? null) === null) this.#arrived(entry);
    if (entry.from_phone) this.#about();
    this.#missed(channel);
    if (this.channel === channel) this.#scroll();
  }

  /** Above an SMS: the WhatsApp message that did not come through before it. */
  #instead(entry) {
    if (entry.channel !== "sms" || entry.from_phone) return [];
    const before = [...this.entries.whatsapp.values()].filter(
      (one) => !one.from_phone && one.ticks.delivered_at === null && one.ticks.accepted_at <= entry.ticks.accepted_at && !this.told.has(one.id),
    );
    before.forEach((one) => this.told.add(one.id));
    const last = before.at(-1);
    return last ? [el("li", { class: "instead" }, icon("whatsapp", "WhatsApp"), fate(last.ticks), icon("down"))] : [];
  }

  /** What did not come through is counted on its app, so that it is seen from the other one. */
  #missed(channel) {
    const missed = [...this.entries[channel].values()].filter((one) => !one.from_phone && one.ticks.delivered_at === null).length;
    const mark = this.tabs[channel].querySelector(".count");
    mark.hidden = missed === 0;
    mark.textContent = String(missed);
    mark.title = `${missed} not delivered`;
  }

  // As many as the simulator keeps.
  #forget(channel) {
    const entries = this.entries[channel];
    if (entries.size <= 200) return;
    const [oldest] = entries.keys();
    entries.delete(oldest);
    this.bubbles.get(oldest)?.remove();
    this.bubbles.delete(oldest);
  }

  /** The phone rings: its screen turns to what came. */
  #arrived(entry) {
    this.node.classList.remove("is-typing");
    if (entry.channel !== this.channel) this.show(entry.channel);
    if (entry.channel !== "sms") return;
    const text = entry.content.text ?? "";
    this.banner.replaceChildren(
      icon("sms"),
      el("div", {}, el("p", { class: "banner-head" }, el("strong", {}, "SMS"), ` by ${provider(entry.provider)} · ${hourMinute(entry.ticks.delivered_at)}`), el("p", { class: "banner-text" }, text)),
    );
    this.banner.classList.remove("shows");
    // Starts the movement again where one banner follows another.
    void this.banner.offsetWidth;
    this.banner.classList.add("shows");
    clearTimeout(this.bannerTimer);
    this.bannerTimer = setTimeout(() => this.banner.classList.remove("shows"), BANNER_MS);
  }

  typing() {
    this.node.classList.add("is-typing");
    clearTimeout(this.typingTimer);
    this.typingTimer = setTimeout(() => this.node.classList.remove("is-typing"), TYPING_MS);
  }

  show(channel) {
    this.channel = channel;
    this.screen.dataset.app = channel;
    for (const [name, tab] of Object.entries(this.tabs)) tab.setAttribute("aria-pressed", String(name === channel));
    for (const [name, screen] of Object.entries(this.screens)) screen.hidden = name !== channel;
    const word = channel === "sms" ? "Text message" : "Message";
    this.input.placeholder = word;
    this.input.setAttribute("aria-label", `${word} by ${channel === "sms" ? "SMS" : "WhatsApp"} as the customer`);
    this.#scroll();
  }

  #scroll() {
    const screen = this.screens[this.channel];
    screen.scrollTop = screen.scrollHeight;
  }

  async #tell(path, body) {
    this.error.textContent = (await this.post(path, body)) ?? "";
    return this.error.textContent === "";
  }

  #toggle() {
    this.#tell(`${this.path}/${this.view.online ? "offline" : "online"}`);
  }

  #tap(entry, button) {
    this.#tell(`${this.path}/tap`, { button: button.id, message_id: entry.id });
  }

  async #write() {
    const text = this.input.value.trim();
    if (text && (await this.#tell(`${this.path}/write`, { channel: this.channel, text }))) this.input.value = "";
  }
}
