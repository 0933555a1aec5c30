// One bubble of a thread: text, files, a place, buttons to tap, and its ticks. What never arrived is shown as a ghost, so
// that one sees what the customer does not.

import { el, icon } from "./dom.js";
import { hourMinute, many, provider } from "./words.js";

export function bubble(entry, { base, quoted, tap, resized }) {
  const { content, ticks, from_phone: own } = entry;
  const ghost = !own && ticks.delivered_at === null;
  const state = own ? "own" : ticks.failed_at !== null || ticks.note ? "failed" : ghost ? "waiting" : "arrived";
  return el(
    "li",
    { class: `bubble bubble-${state}` },
    el(
      "div",
      { class: "bubble-body" },
      quoted ? el("p", { class: "quoted" }, quoted.content.text ?? quoted.content.template?.rendered ?? quoted.content.kind) : null,
      content.template ? el("p", { class: "marker" }, icon("template"), `template ${content.template.name} · ${content.template.language}`) : null,
      ...(content.media ?? []).map((one) => media(one, base, resized)),
      content.place ? place(content.place) : null,
      content.header ? el("p", { class: "bubble-header" }, content.header) : null,
      text(content),
      content.footer ? el("p", { class: "bubble-footer" }, content.footer) : null,
      meta(entry),
    ),
    buttons(entry, state, tap),
    ghost ? el("p", { class: "fate" }, fate(ticks)) : null,
  );
}

function text(content) {
  const shown = content.text ?? content.template?.rendered ?? (content.template ? content.template.parameters.join(" · ") : null);
  return shown ? el("p", { class: "bubble-text" }, ...linked(shown)) : null;
}

/** Links stand out as they do on a phone, and lead nowhere: they are a stranger's. */
function linked(shown) {
  return shown.split(/(https?:\/\/[^\s]+)/).map((part, index) => (index % 2 === 1 ? el("span", { class: "link-text" }, part) : part));
}

/** What became of a message that is not on the phone. */
export function fate(ticks) {
  if (ticks.failed_at !== null) return `not delivered${ticks.error_code ? ` · error ${ticks.error_code}` : ""}`;
  if (ticks.note === "lost") return "lost on the way, and nobody was told";
  if (ticks.note === "expired") return "expired before it could be delivered";
  return "not on the phone yet";
}

function meta(entry) {
  const { ticks, content, from_phone: own } = entry;
  const at = ticks.delivered_at ?? ticks.accepted_at;
  const parts = content.parts > 1 ? el("span", {}, many(content.parts, "part")) : null;
  const by = entry.channel === "sms" && !own ? el("span", {}, provider(entry.provider)) : null;
  return el("p", { class: "bubble-meta" }, by, parts, el("time", {}, hourMinute(at)), own && entry.channel === "sms" ? null : marks(ticks));
}

// On a phone the sender sees these: on what the customer wrote they are blue once the shop has marked it as read. Here they stand
// on what came in as well, because the shop is the one who watches.
function marks(ticks) {
  if (ticks.failed_at !== null) return icon("cross", "failed");
  if (ticks.read_at !== null) return el("span", { class: "is-read" }, icon("ticks", "read"));
  if (ticks.delivered_at !== null) return icon("ticks", "delivered");
  return ticks.sent_at !== null || ticks.accepted_at !== null ? icon("tick", "sent") : icon("clock", "on its way");
}

function media(file, base, resized) {
  const name = file.filename ?? lastSegment(file.url) ?? file.kind;
  const card = el("div", { class: `file file-${file.kind}` }, icon(file.kind === "image" || file.kind === "sticker" ? "image" : "file"), el("div", {}, el("strong", {}, name), el("span", {}, host(file.url))));
  const own = local(file.url, base);
  if (!own || !(file.kind === "image" || file.kind === "sticker")) return card;
  // A tiny picture, such as a simulated phone sends, says less than the card does.
  const image = el("img", { alt: name, loading: "lazy", src: own });
  const settle = (shown) => {
    if (!shown) image.replaceWith(card);
    resized();
  };
  image.addEventListener("error", () => settle(false));
  image.addEventListener("load", () => settle(image.naturalWidth >= 16));
  return image;
}

/** Only what the simulator holds itself is fetched; links of customers and plugins are not. */
function local(url, base) {
  try {
    const found = new URL(url, `${base}/`);
    return url && found.origin === new URL(base).origin ? found.href : null;
  } catch {
    return null;
  }
}

/** `ticket.png` of a link; nothing where the last part is no file name. */
function lastSegment(url) {
  try {
    const last = decodeURIComponent(new URL(url).pathname.split("/").pop());
    return last.includes(".") ? last : undefined;
  } catch {
    return undefined;
  }
}

function host(url) {
  try {
    return new URL(url).host;
  } catch {
    return "";
  }
}

function place(spot) {
  const name = spot.name ?? "Location";
  const where = spot.address ?? `${spot.latitude.toFixed(5)}, ${spot.longitude.toFixed(5)}`;
  return el("div", { class: "place" }, el("div", { class: "map", "aria-hidden": "true" }, icon("place")), el("strong", {}, name), el("span", {}, where));
}

function buttons(entry, state, tap) {
  const list = entry.from_phone ? [] : (entry.content.buttons ?? []);
  if (list.length === 0) return null;
  const one = (button) => {
    const tapped = entry.tapped === button.id;
    const can = state === "arrived" && button.kind !== "url";
    return el(
      "button",
      { type: "button", class: tapped ? "tap is-tapped" : "tap", disabled: !can, "aria-pressed": tapped ? "true" : null, title: button.description ?? null, on: { click: () => tap(button) } },
      icon(tapped ? "tick" : "reply"),
      button.title,
    );
  };
  return el("div", { class: "taps" }, ...list.map(one));
}
