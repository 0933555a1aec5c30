// The tab Plugins: what is loaded, what it may and how much it gets, and why something is refused.

import { get, post } from "./api.js";
import { el, icon, prose } from "./dom.js";
import { bytes, length, many } from "./words.js";

export class Plugins {
  constructor() {
    this.byName = new Map();
    this.list = el("div", { class: "plugins" });
    this.node = el("section", { class: "view", "aria-labelledby": "plugins-title" }, el("div", { class: "bar" }, el("h2", { id: "plugins-title" }, "Plugins")), this.list);
  }

  limitsOf(name) {
    return this.byName.get(name)?.limits ?? null;
  }

  async order(plugin, verb) {
    try {
      await post(`/v1/plugins/${encodeURIComponent(plugin.name)}/${verb}`);
      await this.load();
    } catch (error) {
      this.list.prepend(el("p", { class: "why bad" }, icon("cross"), el("span", {}, error.message)));
    }
  }

  async load() {
    try {
      const found = await get("/v1/plugins");
      const plugins = Array.isArray(found) ? found : found.plugins;
      this.byName = new Map(plugins.map((plugin) => [plugin.name, plugin]));
      // What needs somebody to act comes first.
      const rank = (plugin) => (plugin.state === "loaded" ? (plugin.update ? 1 : 2) : 0);
      const order = plugins.toSorted((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
      this.list.replaceChildren(...(order.length > 0 ? order.map((plugin) => box(plugin, (verb) => this.order(plugin, verb))) : [el("p", { class: "empty" }, "No plugin is loaded.")]));
    } catch (error) {
      this.list.replaceChildren(el("p", { class: "empty" }, error.message));
    }
  }
}

function box(plugin, order) {
  const refused = plugin.state === "refused";
  const loaded = refused ? null : plugin.cached ? "machine code from the cache" : `compiled in ${length(plugin.compile_ms)}`;
  return el(
    "article",
    { class: refused ? "box is-refused" : "box" },
    el(
      "header",
      { class: "box-head" },
      el("span", { class: "badge" }, icon("plugin")),
      el("div", { class: "grow" }, el("h3", {}, plugin.name), plugin.title ? el("p", { class: "quiet" }, plugin.title) : null),
      el("span", { class: plugin.state === "loaded" ? "chip is-done" : "chip is-failed" }, plugin.state),
    ),
    refused ? el("p", { class: "why bad" }, icon("cross"), el("span", {}, ...prose(plugin.reason))) : null,
    plugin.state === "held" || plugin.state === "paused" ? el("p", { class: "why bad" }, icon("cross"), el("span", {}, ...prose(plugin.reason))) : null,
    ...evidence(plugin),
    plugin.update ? el("p", { class: "why bad" }, icon("cross"), el("span", {}, ...prose(`A newer package is ${plugin.update.state}: ${plugin.update.reason}`))) : null,
    plugin.shadow ? el("p", { class: "quiet" }, `Shadow ${plugin.shadow.version ?? ""}: ${plugin.shadow.summary}`) : null,
    refused ? null : buttons(plugin, order),
    refused ? null : counts(plugin),
    refused ? null : permissions(plugin),
    refused ? null : limits(plugin.limits),
    refused ? null : el("p", { class: "quiet small" }, [`version ${plugin.version}`, loaded, bytes(plugin.size_bytes), plugin.digest?.slice(0, 19)].filter(Boolean).join(" · ")),
  );
}

// The failures that a plugin was paused for.
function evidence(plugin) {
  const failures = plugin.paused?.evidence ?? [];
  return failures.slice(-3).map((failure) => el("p", { class: "quiet small" }, `${failure.run}: ${failure.kind}, ${failure.message}`));
}

function buttons(plugin, order) {
  const button = (verb, label) => el("button", { class: "button", type: "button", on: { click: () => order(verb) } }, label);
  const held = plugin.state === "held" || plugin.update?.state === "held";
  const all = [held ? button("approve", "Accept the permissions") : null, plugin.paused ? button("resume", "Resume") : button("pause", "Pause")];
  return el("p", { class: "actions" }, ...all.filter(Boolean));
}

function counts(plugin) {
  const parts = [many(plugin.runs, "run"), plugin.faults ? many(plugin.faults, "fault") : null, plugin.limits_reached ? many(plugin.limits_reached, "limit reached", "limits reached") : null];
  return el("p", { class: "quiet" }, `${parts.filter(Boolean).join(" · ")} since the start`);
}

function permissions(plugin) {
  const { asked = {}, effective = {} } = plugin;
  const causes = plugin.subscriptions.length > 0 ? plugin.subscriptions : ["what customers write"];
  const rows = [["runs for", causes.map((name) => tag(name, true))]];
  if (plugin.triggers.length > 0) rows.push(["triggers", plugin.triggers.map((name) => tag(name, true))]);
  for (const name of Object.keys(asked ?? {})) {
    const wanted = words(asked[name]);
    const granted = new Set(words(effective?.[name]));
    if (wanted.length > 0) rows.push([name, wanted.map((word) => tag(word, granted.has(word)))]);
  }
  const caps = [effective?.per_customer_day ? `${effective.per_customer_day} to a customer a day` : null, effective?.spend_day ? `${effective.spend_day} a day` : null].filter(Boolean);
  if (caps.length > 0) rows.push(["at most", caps.map((cap) => tag(cap, true))]);
  return el("dl", { class: "pairs" }, ...rows.map(([name, tags]) => el("div", {}, el("dt", {}, name), el("dd", { class: "tags" }, ...tags))));
}

function words(value) {
  if (Array.isArray(value)) return value.map(String);
  return value === true ? ["yes"] : [];
}

function tag(word, granted) {
  return el("span", { class: granted ? "tag" : "tag is-denied", title: granted ? null : "asked for in plugin.toml, not granted by the configuration" }, word);
}

function limits(budget) {
  if (!budget) return null;
  const parts = Object.entries(budget).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value))));
  return el("details", {}, el("summary", { class: "quiet small" }, "Limits of one run"), el("dl", { class: "limits" }, ...parts));
}
