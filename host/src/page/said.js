// One thing that was said in a conversation, by the customer or to them.

import { el, icon, prose } from "./dom.js";
import { bytes, channel, code, dayAndClock, exact, hourMinute, preview } from "./words.js";

const NAMES = { image: "Picture", audio: "Sound", video: "Film", document: "Document", sticker: "Sticker", location: "Place", contacts: "Contact", order: "Order", form: "Form", unsupported: "Something that WhatsApp does not hand on" };

/** The bubble, or nothing for what is shown on another one. */
export function said(entry, context) {
  const own = entry.direction === "out";
  const emoji = own ? entry.content.special?.reaction?.emoji : entry.kind === "reaction" ? entry.text : undefined;
  if (emoji !== undefined) return context.hasTarget ? null : line(entry, emoji ? `${own ? "You" : "They"} reacted with ${emoji} to an earlier message` : "A reaction was taken back");
  if (entry.kind === "edit" || entry.kind === "revoke") {
    return line(entry, entry.kind === "revoke" ? "They withdrew an earlier message" : `They changed an earlier message to “${entry.text}”`);
  }
  const state = own && ["failed", "expired", "cancelled"].includes(entry.state) ? " is-failed" : "";
  return el(
    "li",
    { class: `said ${own ? "is-own" : "is-theirs"}${state}` },
    el(
      "div",
      { class: "said-body" },
      own ? el("p", { class: "said-by" }, by(entry)) : null,
      context.quoted ? el("p", { class: "said-quote" }, context.quoted.direction === "in" ? context.quoted.text || context.quoted.kind : preview(context.quoted.content)) : null,
      ...(own ? sent(entry.content) : written(entry)),
      foot(entry, own),
    ),
    context.marks.length > 0 ? el("p", { class: "said-marks", "aria-label": "Reactions" }, context.marks.join(" ")) : null,
    el("button", { class: "said-reply", type: "button", "aria-label": "Quote this", title: "Quote", on: { click: context.quote } }, icon("reply")),
    own && entry.why ? el("p", { class: "why bad" }, icon("cross"), el("span", {}, ...prose([entry.code ? `${code(entry.code)}:` : null, entry.why].filter(Boolean).join(" ")))) : null,
  );
}

function line(entry, text) {
  return el("li", { class: "talk-note" }, text, " · ", el("time", { datetime: exact(entry.time) }, hourMinute(entry.time)));
}

function by(entry) {
  const { kind, plugin } = entry.sent_by;
  if (kind === "plugin") return [icon("plugin"), plugin];
  return [icon("person"), kind === "operator" ? "you or a colleague" : "the shop"];
}

function written(entry) {
  const parts = entry.media.map((one) => el("p", { class: "said-file" }, icon(entry.kind === "image" || entry.kind === "sticker" ? "image" : "file"), [one.filename ?? NAMES[entry.kind] ?? one.mime_type, one.bytes ? bytes(one.bytes) : null].filter(Boolean).join(" · ")));
  if (entry.location) parts.push(place(entry.location));
  if (entry.choice !== null) parts.push(el("p", { class: "said-file" }, icon("reply"), "chose"));
  if (entry.text) parts.push(el("p", { class: "said-text" }, entry.text));
  if (parts.length === 0) parts.push(el("p", { class: "said-text quiet" }, NAMES[entry.kind] ?? entry.kind));
  if (entry.attributes["referral-source-type"]) parts.push(el("p", { class: "said-file" }, icon("event"), ["came by an advertisement", entry.attributes["referral-headline"]].filter(Boolean).join(": ")));
  return parts;
}

function sent(content) {
  const text = content.text ?? content.template?.body;
  const file = content.attachment;
  const link = content.special?.link;
  return [
    content.template && !content.text ? el("p", { class: "said-file" }, icon("template"), content.template.name) : null,
    file ? el("p", { class: "said-file" }, icon("file"), file.filename ?? file.mime_type) : null,
    content.location ? place(content.location) : null,
    content.special && !link ? el("p", { class: "said-file" }, icon("file"), Object.keys(content.special)[0]) : null,
    text ? el("p", { class: "said-text" }, text) : null,
    link ? el("p", { class: "said-choices" }, link.label) : null,
    content.choices?.length ? el("p", { class: "said-choices" }, ...content.choices.map((one) => el("span", {}, one.label))) : null,
  ];
}

function place(spot) {
  return el("p", { class: "said-file" }, icon("place"), [spot.name, spot.address, `${spot.latitude}, ${spot.longitude}`].filter(Boolean).join(" · "));
}

function foot(entry, own) {
  const parts = own ? (entry.attempts.at(-1)?.parts ?? 1) : 1;
  return el(
    "p",
    { class: "said-foot" },
    entry.channel && entry.channel !== "whatsapp" ? channel(entry.channel) : null,
    own && entry.rendition === "sms" && parts > 1 ? `${parts} parts` : null,
    el("time", { datetime: exact(entry.time), title: dayAndClock(entry.time) }, hourMinute(entry.time)),
    own ? ticks(entry) : null,
  );
}

function ticks(entry) {
  switch (entry.state) {
    case "read":
      return el("span", { class: "is-read" }, icon("ticks", "read"));
    case "delivered":
      return icon("ticks", "delivered");
    case "sent":
      return icon("tick", "sent");
    case "failed":
    case "expired":
    case "cancelled":
      return icon("cross", code(entry.state));
    default:
      return icon("clock", code(entry.state));
  }
}
