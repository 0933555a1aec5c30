// The tab Figures: what GET /v1/stats counts.

import { el } from "./dom.js";
import { MESSAGE_STATES, code } from "./words.js";

const NUMBER = new Intl.NumberFormat("en");

export class Figures {
  constructor() {
    this.grid = el("div", { class: "tiles" });
    this.bars = el("div", { class: "bars" });
    this.node = el(
      "section",
      { class: "view", "aria-labelledby": "figures-title" },
      el("div", { class: "bar" }, el("h2", { id: "figures-title" }, "Figures")),
      this.grid,
      el("h3", {}, "Messages by state"),
      this.bars,
      el("p", { class: "quiet" }, "More, in the format of Prometheus, at ", el("a", { href: "/metrics" }, "/metrics"), "."),
    );
  }

  show(stats) {
    const tiles = [
      ["Events", stats.events, "accepted and kept"],
      ["Runs open", stats.open_runs, "waiting, running or to be tried again"],
      ["Runs set aside", stats.set_aside_runs, "need somebody to look", "bad"],
      ["Timers", stats.timers, "will come due"],
      ["Messages under way", stats.open_messages, "not settled yet"],
      ["Double deliveries", stats.double_deliveries, "arrived on both channels", "warn"],
      ["Uncertain attempts", stats.uncertain_attempts, "the provider's answer was lost", "warn"],
    ];
    this.grid.replaceChildren(
      ...tiles.map(([name, value, about, tone]) =>
        el("div", { class: tone && value > 0 ? `tile is-${tone}` : "tile" }, el("p", { class: "tile-name" }, name), el("p", { class: "tile-value" }, NUMBER.format(value ?? 0)), el("p", { class: "quiet small" }, about)),
      ),
    );
    const by = stats.messages_by_state ?? {};
    const most = Math.max(1, ...Object.values(by));
    this.bars.replaceChildren(
      ...MESSAGE_STATES.map((state) => {
        const fill = el("span", { class: `fill is-${state}` });
        fill.style.inlineSize = `${((by[state] ?? 0) / most) * 100}%`;
        return el("div", { class: "bar-row" }, el("span", {}, code(state)), el("span", { class: "gauge" }, fill), el("span", { class: "number" }, NUMBER.format(by[state] ?? 0)));
      }),
    );
  }
}
