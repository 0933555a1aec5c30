// The tab Set aside: runs that failed for good, with their evidence, to execute again or to discard.

import { get, post } from "./api.js";
import { failureWord, used } from "./card.js";
import { el, icon, prose, soon } from "./dom.js";
import { clock, dayAndClock, exact, many } from "./words.js";

const ROWS = 100;

export class Aside {
  constructor(limitsOf) {
    this.limitsOf = limitsOf;
    this.list = el("div", { class: "plugins" });
    this.status = el("p", { class: "quiet", role: "status" });
    this.reload = soon(() => this.node.isConnected && this.load(), 500);
    this.node = el(
      "section",
      { class: "view", "aria-labelledby": "aside-title" },
      el("div", { class: "bar" }, el("h2", { id: "aside-title" }, "Set aside")),
      el("p", { class: "lead quiet" }, "Runs that did not end well and are not tried again by themselves. Nothing that they asked for has happened."),
      this.status,
      this.list,
    );
  }

  async load() {
    try {
      const { runs } = await get(`/v1/runs?state=set-aside&limit=${ROWS}`);
      this.list.replaceChildren(...(runs.length > 0 ? runs.map((run) => this.#box(run)) : [el("p", { class: "empty" }, "Nothing is set aside.")]));
    } catch (error) {
      this.list.replaceChildren(el("p", { class: "empty" }, error.message));
    }
  }

  #box(run) {
    const input = el("pre", { class: "log", tabindex: "0" }, "Reading…");
    const evidence = el(
      "details",
      { class: "used", on: { toggle: () => evidence.open && this.#input(run, input) } },
      el("summary", {}, "What it was given"),
      input,
    );
    return el(
      "article",
      { class: "box" },
      el(
        "header",
        { class: "box-head" },
        el("span", { class: "badge" }, icon("plugin")),
        el("div", { class: "grow" }, el("h3", {}, run.plugin), el("p", { class: "quiet" }, `${run.kind} · ${run.entity}${run.customer ? ` · ${run.customer}` : ""}`)),
        el("time", { class: "quiet", datetime: exact(run.accepted), title: dayAndClock(run.accepted) }, clock(run.accepted)),
      ),
      run.failure ? el("p", { class: "why bad" }, icon("cross"), el("span", {}, `${failureWord(run.failure)}: `, ...prose(run.failure.message))) : null,
      el("p", { class: "quiet" }, `after ${many(run.attempts, "try", "tries")}`),
      run.failure?.backtrace?.length ? el("details", { class: "used" }, el("summary", {}, "Backtrace"), el("pre", { class: "log", tabindex: "0" }, run.failure.backtrace.join("\n"))) : null,
      run.report ? used(run, run.report, this.limitsOf(run.plugin)) : null,
      evidence,
      el(
        "div",
        { class: "actions" },
        el("button", { class: "button primary", type: "button", on: { click: (event) => this.#act(event, run, "replay") } }, icon("replay"), "Execute again"),
        el("button", { class: "button", type: "button", on: { click: (event) => this.#act(event, run, "discard") } }, icon("cross"), "Discard"),
      ),
    );
  }

  async #input(run, node) {
    try {
      const full = await get(`/v1/runs/${encodeURIComponent(run.id)}`);
      node.textContent = full.input ? JSON.stringify(full.input, null, 2) : "It is not kept any more.";
    } catch (error) {
      node.textContent = error.message;
    }
  }

  async #act(event, run, what) {
    const button = event.currentTarget;
    // What is discarded does not come back: the same button asks once more.
    if (what === "discard" && button.dataset.sure !== "yes") {
      button.dataset.sure = "yes";
      button.classList.add("danger");
      button.replaceChildren(icon("warn"), "Discard for good?");
      return;
    }
    button.disabled = true;
    try {
      await post(`/v1/runs/${encodeURIComponent(run.id)}/${what}`);
      this.status.textContent = what === "replay" ? `${run.plugin} is executed again.` : `The run of ${run.plugin} was discarded.`;
    } catch (error) {
      this.status.textContent = error.message;
    }
    this.load();
  }
}
