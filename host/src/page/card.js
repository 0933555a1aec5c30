// One story as a card of the timeline: what set it off → runs → messages → receipts.

import { el, icon, prose } from "./dom.js";
import { chip, messageRow } from "./message.js";
import { bytes, channel, clock, dayAndClock, exact, length, many } from "./words.js";

/** `limitsOf(plugin)` gives what a run is allowed, where the host says so. */
export function card(story, stories, limitsOf) {
  const runs = [...story.runs.values()].sort((a, b) => a.seq - b.seq);
  const messages = [...story.messages.values()].sort((a, b) => a.seq - b.seq);
  const shown = new Set();
  const chain = runs.map((run) => {
    const own = messages.filter((message) => message.author?.run === run.id);
    own.forEach((message) => shown.add(message.id));
    return el("li", { class: "link" }, runLine(run, limitsOf(run.plugin)), ...own.map((one) => row(one, stories)));
  });
  const others = messages.filter((message) => !shown.has(message.id)).map((one) => el("li", { class: "link" }, row(one, stories)));
  const missing = (story.expected ?? 0) - runs.length;
  if (missing > 0) others.push(el("li", { class: "link" }, el("p", { class: "quiet nothing" }, `${many(missing, "run")} under way…`)));
  return [
    heading(story, runs[0], messages[0]),
    notes(story),
    chain.length + others.length > 0
      ? el("ol", { class: "chain" }, ...chain, ...others)
      : el("p", { class: "quiet nothing" }, story.event ? "No plugin runs for it." : "Nothing came of it yet."),
  ];
}

function row(message, stories) {
  return messageRow(message, stories, `#timeline/${encodeURIComponent(message.id)}`);
}

function heading(story, run, message) {
  const { name, title, detail } = headline(story, run, message);
  const who = story.event?.customer ?? story.incoming?.customer ?? run?.customer ?? message?.to?.customer;
  return el(
    "header",
    { class: "card-head" },
    el("span", { class: `badge badge-${name}` }, icon(name)),
    el("div", { class: "card-title" }, el("h3", {}, title), detail ? el("p", { class: "quiet" }, ...detail) : null),
    el(
      "div",
      { class: "card-side" },
      el("time", { datetime: exact(story.at), title: dayAndClock(story.at) }, clock(story.at)),
      who ? el("span", { class: "who" }, icon("person"), who) : null,
    ),
  );
}

function headline(story, run, message) {
  const { event, incoming } = story;
  switch (story.kind) {
    case "event": {
      if (!event) return { name: "event", title: "An event that is not kept any more" };
      return { name: "event", title: el("span", { class: "mono" }, shortType(event.type)), detail: [[event.source, event.subject].filter(Boolean).join(" · ")] };
    }
    case "incoming":
    case "message":
      if (incoming) {
        const said = incoming.text || incoming.choice || incoming.media?.[0]?.filename || incoming.kind;
        const by = `${incoming.sender_name ?? incoming.sender} wrote by ${channel(incoming.channel)}`;
        return { name: "incoming", title: `“${said}”`, detail: [by, incoming.in_reply_to ? ", as an answer" : null].filter(Boolean) };
      }
      return message
        ? { name: "send", title: "A message asked for over HTTP", detail: [message.purpose] }
        : { name: "incoming", title: "A customer wrote" };
    case "timer":
      return { name: "timer", title: `Timer ${run?.cause ?? ""} came due`, detail: run ? [`${run.plugin} · ${run.entity}`] : null };
    default:
      return { name: "replay", title: "What became of a message", detail: run ? [`${run.plugin} was told`] : null };
  }
}

/** The part that differs, with room to break. */
function shortType(type) {
  return el("span", { title: type }, ...String(type).split(/(?<=\.)/).flatMap((part) => [part, el("wbr")]));
}

function notes(story) {
  const lines = story.event?.notes ?? [];
  return lines.length > 0 ? el("ul", { class: "notes quiet" }, ...lines.map((line) => el("li", {}, ...prose(line)))) : null;
}

const CAUSES = { event: null, timer: "by timer", delivery: "told of the delivery", message: null };

function runLine(run, limits) {
  const asked = effects(run.effects);
  const { report, failure } = run;
  return el(
    "div",
    { class: `run is-${run.state}` },
    el(
      "div",
      { class: "run-head" },
      icon("plugin"),
      el("strong", {}, run.plugin),
      CAUSES[run.kind] ? el("span", { class: "quiet" }, CAUSES[run.kind]) : null,
      el("span", { class: "quiet grow" }, asked ?? (run.state === "done" ? "asked for nothing" : "")),
      run.state === "done" ? null : chip(run.state),
    ),
    failure && run.state !== "done" ? el("p", { class: "why bad" }, icon("cross"), el("span", {}, `${failureWord(failure)}: `, ...prose(failure.message))) : null,
    run.state === "open" && run.attempts > 0 && run.at
      ? el("p", { class: "why" }, icon("clock"), `${many(run.attempts, "try", "tries")} so far; again at ${clock(run.at)}`)
      : null,
    ...(report?.denied ?? []).map((line) => el("p", { class: "why bad" }, icon("cross"), el("span", {}, ...prose(line)))),
    ...(report?.refused ?? []).map(refused),
    report ? used(run, report, limits) : null,
  );
}

/** A message that the plugin asked for and the rules did not take. */
function refused(message) {
  return el(
    "p",
    { class: "why bad" },
    icon("cross"),
    el("span", {}, el("strong", {}, message.to), ` gets no message: ${message.code}. `, ...prose(message.why)),
  );
}

const FAILURES = { retry: "asks to be tried again", reject: "refuses", fault: "trapped", limit: "limit reached", host: "the host's trouble" };

export function failureWord(failure) {
  return failure.kind === "limit" && failure.limit ? `limit reached (${failure.limit})` : FAILURES[failure.kind] ?? failure.kind;
}

function effects(asked) {
  if (!asked) return null;
  const count = (name, noun) => (asked[name]?.length ? many(asked[name].length, noun) : null);
  const parts = [count("messages", "message"), count("timers", "timer"), count("events", "event"), count("cancels", "cancellation")];
  const kept = asked.state?.length ? `kept ${asked.state.join(", ")}` : null;
  return [...parts, kept].filter(Boolean).join(" · ") || null;
}

const UNITS = { us: (us) => length(us / 1000), bytes, number: String };

/** One limit, such as `cpu 1.2 ms of 500 ms`. */
function usedOf({ limit, unit, used, allowed }) {
  const show = UNITS[unit] ?? String;
  return `${limit.replaceAll("-", " ")} ${show(used)} of ${show(allowed)}`;
}

/** What a run used of what it was allowed, and the end of its log. */
export function used(run, report, limits) {
  const of = (value, allowed) => (allowed ? `${value} of ${allowed}` : value);
  // Runs of earlier versions have no rows; what they were allowed is what the plugin is allowed now.
  const rows = report.used?.length
    ? report.used.map(usedOf)
    : [
        of(length(report.took_us / 1000), limits?.time),
        of(bytes(report.memory_bytes), limits?.memory),
        many(report.host_calls, "host call"),
      ];
  const facts = [...rows, report.plugin_version ? `v${report.plugin_version}` : null];
  const log = report.log ?? [];
  return el(
    "div",
    { class: "used" },
    el("p", { class: "spent" }, ...facts.filter(Boolean).map((fact) => el("span", {}, fact))),
    log.length > 0
      ? el(
          "details",
          { data: { keep: run.id } },
          el("summary", { data: { focus: `log-${run.id}` } }, many(log.length, "line"), " of log"),
          el("pre", { class: "log", tabindex: "0" }, log.map((line) => `${line.level.padEnd(5)} ${line.message}`).join("\n")),
        )
      : null,
  );
}
