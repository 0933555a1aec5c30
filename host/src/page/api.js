// Asks the host: JSON calls, the stream of changes, and the API key where one is needed.
//
// The key stays in this tab (sessionStorage) and goes out in the `Authorization` header only. That is why the stream is read
// with `fetch`: an EventSource cannot send headers, and a key in a URL ends in logs.

import { el } from "./dom.js";

const KEY = "relais-key";
let key = sessionStorage.getItem(KEY);
let asking = null;
let skew_ms = 0;

/** What the host answered in place of what was asked for. */
export class Refused extends Error {
  constructor(status, problem) {
    super([problem?.detail ?? problem?.title ?? `the host answered ${status}`, problem?.fix].filter(Boolean).join(" — "));
    this.status = status;
  }
}

export const get = (path) => call("GET", path);
/** With a body it is sent as JSON. */
export const post = (path, body, headers) => call("POST", path, body, headers);

async function call(method, path, body, headers) {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...headers } };
  const response = await authorised(path, { method, cache: "no-store", ...json });
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

async function authorised(path, options) {
  for (;;) {
    const used = key;
    const headers = { ...options.headers, ...(used ? { Authorization: `Bearer ${used}` } : {}) };
    const response = await fetch(path, { ...options, headers });
    const date = Date.parse(response.headers.get("date") ?? "");
    if (!Number.isNaN(date)) skew_ms = date - Date.now();
    if (response.status !== 401) return response;
    // Another call may have been given a key meanwhile.
    if (key === used) await askForKey(used !== null);
  }
}

/** The host's wall clock, to the second. */
export function hostNow() {
  return Date.now() + skew_ms;
}

export async function isReady() {
  try {
    return (await fetch("/readyz", { cache: "no-store" })).ok;
  } catch {
    return null;
  }
}

function askForKey(wasRefused) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("ask");
    const input = el("input", { type: "password", id: "ask-key", autocomplete: "off", required: true, spellcheck: "false" });
    const submit = (event) => {
      event.preventDefault();
      const given = input.value.trim();
      if (!given) return;
      key = given;
      sessionStorage.setItem(KEY, key);
      asking = null;
      dialog.close();
      resolve();
    };
    const form = el(
      "form",
      { on: { submit } },
      el("h2", { id: "ask-title" }, "This host asks for an API key"),
      el("p", {}, wasRefused ? "It does not know the key that was used." : "It is kept in this tab until you close it."),
      el("label", { for: "ask-key" }, "API key"),
      input,
      el("button", { class: "button primary", type: "submit" }, "Continue"),
    );
    dialog.replaceChildren(form);
    // Escape would leave a page that can show nothing.
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    if (!dialog.open) dialog.showModal();
    input.focus();
  });
  return asking;
}

// Three missed heartbeats: the connection is dead although nobody said so.
const SILENCE_MS_MAX = 45_000;
const RETRY_MS = 500;
const RETRY_MS_MAX = 10_000;

/** Follows the stream for ever. `opened` is called at each connection, after which everything is to be read anew. */
export async function follow(path, { opened, closed, change }) {
  for (let pause_ms = RETRY_MS; ; pause_ms = Math.min(pause_ms * 2, RETRY_MS_MAX)) {
    const abort = new AbortController();
    let watchdog = setTimeout(() => abort.abort(), SILENCE_MS_MAX);
    try {
      const response = await authorised(path, { headers: { Accept: "text/event-stream" }, signal: abort.signal });
      if (!response.ok || !response.body) throw new Refused(response.status, null);
      pause_ms = RETRY_MS;
      opened();
      for await (const data of lines(response.body.getReader(), () => {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => abort.abort(), SILENCE_MS_MAX);
      })) {
        change(JSON.parse(data));
      }
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof Refused || error.name === "AbortError")) console.error(error);
    } finally {
      clearTimeout(watchdog);
      abort.abort();
    }
    closed();
    // With some jitter, so that the pages of one office do not come back all at once.
    await new Promise((resolve) => setTimeout(resolve, pause_ms * (0.75 + Math.random() / 2)));
  }
}

/** The `data` of each event of a stream. */
async function* lines(reader, heard) {
  const decoder = new TextDecoder();
  let rest = "";
  let data = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    rest += decoder.decode(value, { stream: true });
    const parts = rest.split(/\r\n|\n|\r(?!$)/);
    rest = parts.pop();
    for (const line of parts) {
      if (line.startsWith("data:")) data.push(line.slice(line.startsWith("data: ") ? 6 : 5));
      if (line === "" && data.length > 0) {
        yield data.join("\n");
        data = [];
      }
    }
  }
}
