// The side panel: a message's whole story, as GET /v1/messages/{id} tells it.

import { get } from "./api.js";
import { el, icon, prose, soon } from "./dom.js";
import { arrivedTwice, chip, reason, track } from "./message.js";
import { channel, clock, code, dayAndClock, exact, millis, recipient } from "./words.js";

export class Panel {
  constructor(close) {
    this.node = document.getElementById("panel");
    this.close = close;
    this.id = null;
    this.reload = soon(() => this.#read(), 150);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.id) this.close();
    });
  }

  show(id) {
    if (id === this.id) return;
    if (!this.id) this.opener = document.activeElement;
    this.id = id;
    this.node.hidden = id === null;
    document.body.classList.toggle("has-panel", id !== null);
    if (id === null) {
      this.node.replaceChildren();
      if (this.opener?.isConnected) this.opener.focus();
      return;
    }
    this.node.replaceChildren(this.#top("Message"), el("p", { class: "quiet" }, "Reading…"));
    this.node.focus({ preventScroll: true });
    this.#read();
  }

  /** Something changed about a message. */
  changed(id) {
    if (id === this.id) this.reload();
  }

  #top(title) {
    return el(
      "div",
      { class: "panel-top" },
      el("h2", {}, title),
      el("button", { class: "button icon-only", type: "button", "aria-label": "Close", data: { focus: "close" }, on: { click: () => this.close() } }, icon("cross")),
    );
  }

  async #read() {
    const id = this.id;
    if (!id) return;
    try {
      const found = await get(`/v1/messages/${encodeURIComponent(id)}`);
      if (id !== this.id) return;
      const scroll = this.node.scrollTop;
      const hadFocus = this.node.contains(document.activeElement) && document.activeElement !== this.node;
      this.node.replaceChildren(...(found.incoming ? this.#incoming(found.incoming) : this.#message(found)));
      this.node.scrollTop = scroll;
      if (hadFocus) this.node.querySelector("[data-focus=close]").focus();
    } catch (error) {
      if (id === this.id) this.node.replaceChildren(this.#top("Message"), el("p", { class: "why bad" }, icon("cross"), error.message));
    }
  }

  #incoming(incoming) {
    return [
      this.#top("What a customer wrote"),
      el("blockquote", { class: "content" }, incoming.text || incoming.kind),
      facts([
        ["From", incoming.sender_name ?? incoming.customer ?? incoming.sender],
        ["By", channel(incoming.channel)],
        ["At", dayAndClock(incoming.time)],
      ]),
    ];
  }

  #message(message) {
    const receipts = (message.story ?? []).filter((line) => line.kind === "receipt");
    const times = (attempt) => {
      const of = receipts.filter((line) => line.attempt === attempt.no);
      return Object.fromEntries(of.toReversed().map((line) => [line.state, millis(line.time)]));
    };
    const arrived = message.attempts.some((one) => one.state === "delivered" || one.state === "read");
    const why = arrived ? null : reason(message);
    return [
      this.#top(`To ${recipient(message)}`),
      el("p", { class: "panel-state" }, chip(message.state), message.settled ? el("span", { class: "quiet" }, "settled") : el("span", { class: "quiet" }, "under way")),
      why ? el("p", { class: message.settled ? "why bad" : "why" }, icon(message.settled ? "cross" : "clock"), el("span", {}, ...prose(why))) : null,
      arrivedTwice(message) ? el("p", { class: "why warn" }, icon("warn"), "It arrived on both channels: a double delivery.") : null,
      content(message.content),
      el("h3", {}, "Attempts"),
      message.attempts.length === 0 ? el("p", { class: "quiet" }, "Nothing was sent.") : null,
      ...message.attempts.flatMap((attempt) => [track(attempt, times(attempt)), routes(attempt.decision, attempt.no)]),
      message.decision ? routes(message.decision, 0) : null,
      el("h3", {}, "Story"),
      el("ol", { class: "story" }, ...(message.story ?? []).map(storyLine)),
      el("h3", {}, "Asked for"),
      facts([
        ["Plugin", message.author?.plugin],
        ["About", message.author?.entity],
        ["Purpose", message.purpose],
        ["Created", dayAndClock(message.created)],
        ["Expires", message.expires ? dayAndClock(message.expires) : null],
        ["SMS", message.sms],
        ["Tag", message.tag],
        ["Id", message.id],
      ]),
    ].filter(Boolean);
  }
}

function facts(pairs) {
  return el("dl", { class: "pairs" }, ...pairs.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function content(shown) {
  const { text, template, attachment, location, choices, sms_text: sms } = shown ?? {};
  const params = (template?.params ?? []).map((param) => el("li", {}, el("code", {}, param.name), ` ${param.value}`));
  return el(
    "div",
    { class: "content" },
    text ? el("p", {}, text) : null,
    template && template.body !== text ? el("p", { class: text ? "quiet" : null }, template.body) : null,
    template ? el("p", { class: "facts" }, icon("template"), `${template.name} · ${template.category} · ${template.language}`) : null,
    params.length > 0 ? el("ul", { class: "params" }, ...params) : null,
    attachment ? el("p", { class: "facts" }, icon("file"), [attachment.filename, attachment.mime_type, attachment.url].filter(Boolean).join(" · ")) : null,
    location ? el("p", { class: "facts" }, icon("place"), [location.name, location.address, `${location.latitude}, ${location.longitude}`].filter(Boolean).join(" · ")) : null,
    choices?.length ? el("p", { class: "facts" }, icon("reply"), choices.map((one) => one.label).join(" / ")) : null,
    sms ? el("p", { class: "facts" }, icon("sms"), sms) : null,
  );
}

/** Which rules were checked and which ways were weighed. */
function routes(decision, no) {
  const checks = decision?.checks ?? [];
  const ways = decision?.routes ?? [];
  if (checks.length + ways.length === 0) return null;
  return el(
    "details",
    { class: "used" },
    el("summary", {}, no ? `Why attempt ${no} went this way` : "Why it stands as it does"),
    decision.why ? el("p", {}, ...prose(decision.why)) : null,
    el("ul", { class: "checks" }, ...ways.map(way), ...checks.map(check)),
  );
}

function way(route) {
  const name = channel(route.channel);
  const text = route.taken ? `${name} by ${route.account}, as ${route.rendition}` : `${name} not: ${route.why ?? code(route.code)}`;
  return el("li", { class: route.taken ? "ok" : "no" }, icon(route.taken ? "tick" : "cross"), el("span", {}, ...prose(text)));
}

function check(one) {
  return el("li", { class: one.passed ? "ok" : "no" }, icon(one.passed ? "tick" : "cross"), el("span", {}, `${code(one.rule)}: `, ...prose(one.why)));
}

function storyLine(line) {
  return el(
    "li",
    { class: `line line-${line.kind}` },
    line.time ? el("time", { datetime: exact(line.time), title: dayAndClock(line.time) }, clock(line.time)) : el("span", { class: "now" }, "now"),
    el("p", {}, ...prose(line.text)),
  );
}
