// The header: whether the host is ready, what time it has, and the figures that matter.

import { get, hostNow, isReady } from "./api.js";
import { el, soon } from "./dom.js";
import { clock, day, exact, millis } from "./words.js";

// A health dot that lies for more than a few seconds is worse than none.
const HEALTH_MS = 5_000;

export class Header {
  constructor(onFigures) {
    this.dot = document.getElementById("health");
    this.clock = document.getElementById("clock");
    this.figures = document.getElementById("key-figures");
    this.onFigures = onFigures;
    this.connected = null;
    this.offset_ms = null;
    this.demo = null;
    this.readSoon = soon(() => this.read(), 400);
    setInterval(() => this.#check(), HEALTH_MS);
    setInterval(() => this.#tick(), 1000);
    this.#check();
    this.read();
  }

  async #check() {
    this.#show(await isReady());
    if (this.demo) this.read();
  }

  setConnected(connected) {
    this.connected = connected;
    this.#show(connected ? true : this.ready ?? null);
    if (!connected) this.#check();
  }

  #show(ready) {
    this.ready = ready;
    const state = ready === null ? "gone" : !ready ? "bad" : this.connected === false ? "waiting" : "good";
    const words = { gone: "the host does not answer", bad: "the host cannot take work now", waiting: "ready; live updates are being reconnected", good: "ready, live" };
    this.dot.className = `dot is-${state}`;
    this.dot.setAttribute("aria-label", words[state]);
    this.dot.title = words[state];
    const notice = document.getElementById("notice");
    notice.hidden = state === "good";
    notice.textContent = state === "good" ? "" : `${words[state][0].toUpperCase()}${words[state].slice(1)}.`;
  }

  async read() {
    try {
      if (this.demo === null) {
        // Only a host whose clock can be moved has this path.
        const found = await get("/v1/clock").catch((error) => (error.status === 404 ? null : Promise.reject(error)));
        this.demo = found !== null;
      }
      const stats = await get("/v1/stats");
      const now = millis(stats.now);
      if (now !== null) this.offset_ms = now - Date.now();
      this.#draw(stats);
      this.onFigures(stats);
      this.#tick();
    } catch {
      // The dot says so.
    }
  }

  #tick() {
    const now = this.offset_ms === null ? hostNow() : Date.now() + this.offset_ms;
    this.clock.replaceChildren(
      el("time", { datetime: exact(now) }, `${day(now)} ${clock(now)}`),
      this.demo ? el("span", { class: "tag", title: "This host's clock can be moved forward: its time is not the machine's." }, "demo clock") : "",
    );
  }

  #draw(stats) {
    const by = stats.messages_by_state ?? {};
    const arrived = (by.delivered ?? 0) + (by.read ?? 0);
    const ended = (by.failed ?? 0) + (by.expired ?? 0) + (by.cancelled ?? 0);
    const figures = [
      ["events", stats.events],
      ["runs open", stats.open_runs],
      ["set aside", stats.set_aside_runs, "bad", "#aside"],
      ["under way", stats.open_messages],
      ["arrived", arrived],
      ["not sent", ended],
      ["twice", stats.double_deliveries, "warn", null, "Double deliveries: the message arrived on WhatsApp after SMS had gone out"],
    ];
    this.figures.replaceChildren(
      ...figures.map(([name, value, tone, href, title]) =>
        el(
          "div",
          { class: tone && value > 0 ? `figure is-${tone}` : "figure", title: title ?? null },
          el("dt", {}, name),
          el("dd", {}, href ? el("a", { href }, String(value ?? 0)) : String(value ?? 0)),
        ),
      ),
    );
  }
}
