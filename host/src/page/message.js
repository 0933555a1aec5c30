// How a message looks in a story: its state, its attempts as tracks of ticks, and why it went the way it went.

import { el, icon, prose } from "./dom.js";
import { channel, clock, code, exact, length, many, millis, preview, price, provider, recipient } from "./words.js";

const STATE_WORDS = { "falling-back": "falling back", "set-aside": "set aside" };

export function chip(state) {
  return el("span", { class: `chip is-${state}` }, STATE_WORDS[state] ?? state);
}

const STEPS = ["accepted", "sent", "delivered", "read"];

/** Whether the customer has it twice. */
export function arrivedTwice(message) {
  return message.attempts.filter((one) => one.state === "delivered" || one.state === "read").length > 1;
}

/** One attempt: where it went, and its ticks with the time each took. `times` are those of its receipts. */
export function track(attempt, times) {
  const began = millis(attempt.planned);
  const at = { accepted: attempt.provider_id || times.accepted ? millis(attempt.answered) ?? times.accepted : undefined, ...times };
  const reached = STEPS.indexOf(attempt.state);
  const steps = STEPS.map((step, index) => {
    const done = at[step] !== undefined || index <= reached;
    const time = at[step];
    const label = time === undefined ? "" : `+${length(Math.max(0, time - began))}`;
    return el(
      "li",
      { class: done ? `step done ${step}` : "step", title: time === undefined ? null : `${step} ${exact(time)}` },
      el("span", { class: "step-dot" }, done ? icon(step === "delivered" || step === "read" ? "ticks" : "tick") : null),
      el("span", { class: "step-name" }, step),
      el("span", { class: "step-time" }, label),
    );
  });
  return el(
    "div",
    { class: `track via-${attempt.channel} at-${attempt.state}` },
    el(
      "div",
      { class: "track-head" },
      icon(attempt.channel, channel(attempt.channel)),
      el("strong", {}, channel(attempt.channel)),
      el("span", { class: "quiet" }, provider(attempt.provider)),
      el("span", { class: "quiet" }, attempt.rendition === "sms" ? many(attempt.parts, "part") : attempt.rendition),
      price(attempt) ? el("span", { class: "price" }, price(attempt)) : null,
    ),
    el("ol", { class: "steps" }, ...steps),
    attempt.state === "failed" || attempt.failure ? failure(attempt) : null,
    attempt.state === "uncertain" ? el("p", { class: "why warn" }, icon("warn"), "The provider's answer was lost: it may have been sent.") : null,
  );
}

function failure(attempt) {
  const { failure: why } = attempt;
  const text = why ? [code(why.code), why.provider_code ? `(${why.provider_code})` : null, why.detail] : ["failed without a reason"];
  return el("p", { class: "why bad" }, icon("cross"), el("span", {}, ...prose(text.filter(Boolean).join(" "))));
}

/** Why an attempt follows another, why nothing was sent, or what it waits for. */
export function reason(message) {
  const why = message.decision?.why;
  const refused = (message.decision?.routes ?? []).filter((route) => !route.taken);
  if (refused.length > 0) return refused.map((route) => `${channel(route.channel)}: ${route.why}`).join(" · ");
  if (why) return message.code ? `${code(message.code)}: ${why}` : why;
  return message.code ? code(message.code) : null;
}

/** A message in its story's card. `link` opens everything that is known of it. */
export function messageRow(message, stories, link) {
  const text = preview(message.content);
  const facts = [
    el("span", { class: "who" }, icon("person"), recipient(message)),
    el("span", {}, message.purpose),
    message.content?.template ? el("span", {}, icon("template"), message.content.template.name) : null,
    message.content?.attachment ? el("span", {}, icon("file"), message.content.attachment.filename ?? message.content.attachment.mime_type) : null,
    message.content?.location ? el("span", {}, icon("place"), message.content.location.name ?? "location") : null,
    message.content?.choices?.length ? el("span", {}, icon("reply"), message.content.choices.map((one) => one.label).join(" / ")) : null,
  ];
  const attempts = message.attempts.flatMap((attempt, index) => {
    // The first attempt's reason says nothing; that of the next is the fallback's.
    const why = index > 0 ? attempt.decision?.why : null;
    return [
      why ? el("p", { class: "turn" }, icon("down"), el("span", {}, ...prose(why))) : null,
      track(attempt, stories.timesOf(message, attempt)),
    ];
  });
  const arrived = message.attempts.some((one) => one.state === "delivered" || one.state === "read");
  const why = arrived ? null : reason(message);
  return el(
    "div",
    { class: `message is-${message.state}` },
    el(
      "div",
      { class: "message-head" },
      el("a", { class: "message-text", href: link, data: { focus: message.id } }, text || "(no text)"),
      chip(message.state),
    ),
    el("div", { class: "facts" }, ...facts),
    ...attempts,
    arrivedTwice(message) ? el("p", { class: "why warn" }, icon("warn"), "It arrived on both channels: a double delivery.") : null,
    why ? el("p", { class: message.settled ? "why bad" : "why" }, icon(message.settled ? "cross" : "clock"), el("span", {}, ...prose(why))) : null,
    !message.settled && message.next_at ? el("p", { class: "why" }, icon("clock"), `looked at again at ${clock(message.next_at)}`) : null,
  );
}
