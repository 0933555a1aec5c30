// Times, lengths, sizes and prices as people read them, and the words for states.

export function millis(time) {
  if (typeof time === "number") return time;
  const parsed = typeof time === "string" ? Date.parse(time) : NaN;
  return Number.isNaN(parsed) ? null : parsed;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const SHORT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });

export function clock(time) {
  const at = millis(time);
  return at === null ? "–" : CLOCK.format(at);
}

export function hourMinute(time) {
  const at = millis(time);
  return at === null ? "" : SHORT.format(at);
}

export function day(time) {
  const at = millis(time);
  return at === null ? "" : DAY.format(at);
}

export function dayAndClock(time) {
  const at = millis(time);
  return at === null ? "–" : `${DAY.format(at)}, ${CLOCK.format(at)}`;
}

/** The time in full, for a tooltip. */
export function exact(time) {
  const at = millis(time);
  return at === null ? "" : new Date(at).toISOString();
}

/** A length in the unit that needs fewest digits. */
export function length(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(ms / 60_000);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function bytes(count) {
  if (!Number.isFinite(count)) return "";
  if (count < 1024) return `${count} B`;
  if (count < 1024 * 1024) return `${(count / 1024).toFixed(count < 10_240 ? 1 : 0)} KiB`;
  return `${(count / 1024 / 1024).toFixed(count < 10_485_760 ? 1 : 0)} MiB`;
}

export function many(count, noun, plural = `${noun}s`) {
  return `${count} ${count === 1 ? noun : plural}`;
}

/** A price in millionths, with the currency of the route that was taken. */
export function price(attempt) {
  if (typeof attempt?.price_micros !== "number") return null;
  const currency = attempt.decision?.routes?.find((route) => route.taken)?.price?.currency;
  const amount = attempt.price_micros / 1e6;
  try {
    const style = currency ? { style: "currency", currency } : {};
    return new Intl.NumberFormat("en", { ...style, minimumFractionDigits: 2, maximumFractionDigits: 4 }).format(amount);
  } catch {
    return `${amount} ${currency}`;
  }
}

export const CHANNELS = { whatsapp: "WhatsApp", sms: "SMS" };
export const PROVIDERS = { meta: "Meta", cm: "CM.com", twilio: "Twilio" };

export function channel(name) {
  return CHANNELS[name] ?? name;
}

export function provider(name) {
  return PROVIDERS[name] ?? name;
}

/** A code of the registry as words: `not-on-whatsapp` → `not on WhatsApp`. */
export function code(text) {
  return String(text ?? "")
    .replaceAll("-", " ")
    .replace(/\bwhatsapp\b/gi, "WhatsApp")
    .replace(/\bsms\b/gi, "SMS");
}

export const MESSAGE_STATES = ["pending", "sent", "delivered", "read", "falling-back", "failed", "expired", "cancelled"];

/** What the customer reads of a message, in one line. */
export function preview(content) {
  if (!content) return "";
  const text = content.text ?? content.template?.body ?? content.sms_text;
  if (text) return text;
  if (content.location) return content.location.name ?? content.location.address ?? "a location";
  if (content.attachment) return content.attachment.filename ?? content.attachment.mime_type;
  return "";
}

export function recipient(message) {
  return message.to?.customer ?? message.to?.phone ?? "–";
}
