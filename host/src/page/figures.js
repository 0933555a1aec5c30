// The tab Figures: what GET /v1/stats counts.

import { get } from "./api.js";
import { el } from "./dom.js";
import { MESSAGE_STATES, code } from "./words.js";

const NUMBER = new Intl.NumberFormat("en");

export class Figures {
  constructor() {
    this.grid = el("div", { class: "tiles" });
    this.bars = el("div", { class: "bars" });
    this.days = el("tbody");
    const columns = ["Day", "Channel", "Sent", "Delivered", "Read", "Failed", "Fell back", "Double", "Parts", "To deliver", "Cost"];
    this.node = el(
      "section",
      { class: "view", "aria-labelledby": "figures-title" },
      el("div", { class: "bar" }, el("h2", { id: "figures-title" }, "Figures")),
      this.grid,
      el("h3", {}, "Messages by state"),
      this.bars,
      el("h3", {}, "Messages by day and channel"),
      el("table", { class: "table" }, el("thead", {}, el("tr", {}, ...columns.map((name) => el("th", { scope: "col" }, name)))), this.days),
      el("p", { class: "quiet" }, "More, in the format of Prometheus, at ", el("a", { href: "/metrics" }, "/metrics"), "."),
    );
  }

  // The last 14 days, read when the tab is opened: these figures change with every message.
  async read() {
    const from = new Date(Date.now() - 13 * 86400000).toISOString().slice(0, 10);
    const { messages } = await get(`/v1/stats?group_by=day,channel&from=${from}`).catch(() => ({}));
    const rows = [...(messages?.rows ?? [])].reverse();
    const number = (value) => el("td", {}, NUMBER.format(value ?? 0));
    const took = ({ p50, p95 }) => (p50 === null ? "–" : `≤ ${p50} s, 95 % ≤ ${p95 ?? "more"} s`);
    const cost = ({ currency, planned, actual }) => `${planned} ${currency}${actual === null ? "" : `, told ${actual}`}`;
    this.days.replaceChildren(
      ...rows.map((row) =>
        el(
          "tr",
          {},
          el("td", {}, row.day),
          el("td", {}, row.channel ?? "none"),
          ...[row.sent, row.delivered, row.read, row.failed, row.fell_back, row.double, row.parts].map(number),
          el("td", {}, took(row.deliver_s)),
          el("td", {}, row.cost.map(cost).join("; ") || "–"),
        ),
      ),
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
