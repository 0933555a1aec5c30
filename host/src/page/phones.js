// The simulated phones, side by side. Everything comes from the simulator's own stream and goes to its own door.

import { el, icon } from "./dom.js";
import { Phone } from "./phone.js";

export class Phones {
  constructor(deck, base) {
    this.base = base.replace(/\/+$/, "");
    this.deck = deck;
    this.phones = new Map();
    this.row = el("div", { class: "phones", tabindex: "0", role: "group", "aria-label": "Phones" });
    this.status = el("span", { class: "quiet small", role: "status" });
    const fold = el("button", { class: "button icon-only fold", type: "button", "aria-expanded": "true", "aria-label": "Fold the phones", on: { click: () => this.#fold(fold) } }, icon("down"));
    deck.append(el("div", { class: "bar" }, el("h2", {}, "Phones"), el("span", { class: "tag" }, "simulated"), this.status, fold), this.row);
    deck.hidden = false;
    document.body.classList.add("has-phones");
    this.#follow();
  }

  #fold(button) {
    const folded = this.deck.classList.toggle("is-folded");
    button.setAttribute("aria-expanded", String(!folded));
  }

  #follow() {
    // Reconnects by itself, and gives a snapshot each time.
    this.source = new EventSource(`${this.base}/sim/stream`);
    const on = (name, work) => this.source.addEventListener(name, (event) => work(JSON.parse(event.data)));
    this.source.addEventListener("open", () => (this.status.textContent = ""));
    this.source.addEventListener("error", () => {
      this.status.textContent = "the simulator does not answer";
      if (this.source.readyState === EventSource.CLOSED) setTimeout(() => this.#follow(), 3000);
    });
    on("snapshot", ({ phones, threads }) => this.#snapshot(phones, threads));
    on("phone", (phone) => this.#phone(phone).update(phone));
    on("phone-removed", ({ number }) => this.#remove(number));
    on("entry", ({ number, entry }) => this.phones.get(number)?.put(entry, true));
    on("typing", ({ number }) => this.phones.get(number)?.typing());
    const again = () => {
      this.source.close();
      this.#follow();
    };
    on("reset", again);
    on("behind", again);
  }

  #snapshot(phones, threads) {
    const known = new Set(phones.map((phone) => phone.number));
    for (const number of [...this.phones.keys()]) if (!known.has(number)) this.#remove(number);
    for (const phone of phones) this.#phone(phone).update(phone);
    for (const { number, whatsapp, sms } of threads) this.phones.get(number)?.fill([...whatsapp, ...sms]);
  }

  #phone(view) {
    let phone = this.phones.get(view.number);
    if (!phone) {
      phone = new Phone(view.number, this.base, (path, body) => this.#post(path, body));
      this.phones.set(view.number, phone);
      // In the order of their numbers, whenever they are added.
      const after = [...this.phones.keys()].filter((number) => number > view.number).sort()[0];
      this.row.insertBefore(phone.node, after ? this.phones.get(after).node : null);
    }
    return phone;
  }

  #remove(number) {
    this.phones.get(number)?.node.remove();
    this.phones.delete(number);
  }

  /** Gives an error's words, or nothing. */
  async #post(path, body) {
    try {
      const options = body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
      const response = await fetch(`${this.base}${path}`, { method: "POST", ...options });
      if (response.ok) return null;
      return (await response.json().catch(() => ({}))).error ?? `the simulator answered ${response.status}`;
    } catch {
      return "the simulator does not answer";
    }
  }
}
