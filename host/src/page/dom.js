// Makes elements. Everything that customers, plugins and providers write goes in as a text node, so it is never markup.

const SVG = "http://www.w3.org/2000/svg";

/** `el("p", { class: "x", on: { click } }, "text", child, null)`: attributes that are null or false are left out. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === "data") {
      Object.assign(node.dataset, value);
    } else if (name === "value" || name === "checked" || name === "disabled") {
      node[name] = value;
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// Drawn on a 16 by 16 grid with a line of 1.5.
const ICONS = {
  whatsapp: "M8 1.8a6.2 6.2 0 0 0-5.3 9.4L1.9 14l2.9-.8A6.2 6.2 0 1 0 8 1.8zM5.7 5.2c.2 2.6 2 4.6 4.7 5.2l.9-1.3-1.7-1-.7.6c-.9-.4-1.4-.9-1.8-1.8l.6-.7-.8-1.7z",
  sms: "M2 3h12v8H7.5L4.5 13.6V11H2zM5 7h.01M8 7h.01M11 7h.01",
  event: "M8.8 1.6 3 9h4.4l-.8 5.4L12.8 7H8.3z",
  timer: "M8 3.2a5.3 5.3 0 1 0 .01 0M8 5.7v3l1.9 1.2M6.3 1.4h3.4",
  incoming: "M2.2 3h11.6v8.3H9L6.2 13.8v-2.5h-4zM8 5v4M6.3 7.4 8 9l1.7-1.6",
  plugin: "M6 2v2.6M10 2v2.6M3.8 4.6h8.4v3.6a4.2 4.2 0 0 1-8.4 0zM8 12.4V14.5",
  person: "M8 8.2a2.9 2.9 0 1 0 0-5.8 2.9 2.9 0 0 0 0 5.8zM2.7 14c.6-2.6 2.7-3.9 5.3-3.9s4.7 1.3 5.3 3.9",
  tick: "M3 8.6 6.4 12 13 4.6",
  ticks: "M1 8.6 4.2 12 10.4 4.6M7.4 11.2l.8.8 6.3-7.4",
  cross: "M4 4l8 8M12 4l-8 8",
  clock: "M8 2.3a5.7 5.7 0 1 0 .01 0M8 4.8V8l2.2 1.5",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.2v9.6L12.6 8z",
  send: "M2.2 8h10M8.6 4.2 12.6 8l-4 3.8",
  back: "M10 3.5 5.5 8l4.5 4.5",
  file: "M4 1.8h5.3L12.3 5v9.2H4zM9 2v3.3h3.2",
  image: "M2.2 3h11.6v10H2.2zM2.5 11l3.2-3.4 2.6 2.6 2-1.7 3 2.7M10.6 5.8h.01",
  place: "M8 14.4S3.3 10 3.3 6.6a4.7 4.7 0 0 1 9.4 0C12.7 10 8 14.4 8 14.4zM8 8.2a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2z",
  template: "M2.5 2.5h11v11h-11zM2.5 6h11M6 6v7.5",
  reply: "M6.5 4 2.5 7.5l4 3.5M2.8 7.5h6.4c2.6 0 4.3 1.5 4.3 4.5",
  replay: "M3 8a5 5 0 1 1 1.6 3.7M3 13v-2.2M3 8 1.3 6.2M3 8l1.9-1.7",
  search: "M7 2.5a4.5 4.5 0 1 0 .01 0M10.4 10.4 14 14",
  warn: "M8 2 1.6 13.4h12.8zM8 6.3v3.5M8 11.6h.01",
  down: "M3.5 6 8 10.5 12.5 6",
};

/** An icon for the eye alone, unless it is given a name. */
export function icon(name, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", `icon icon-${name}`);
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else {
    svg.setAttribute("aria-hidden", "true");
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name] ?? ICONS.event);
  svg.append(path);
  return svg;
}

/** Text in which `…` marks code, as the API's sentences have it. */
export function prose(text) {
  return String(text)
    .split("`")
    .map((part, index) => (index % 2 === 1 ? el("code", {}, part) : part));
}

/** Replaces what is in `node` and keeps the focus on what has the same `data-focus`. */
export function refill(node, ...children) {
  const focused = node.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  const open = new Set([...node.querySelectorAll("details[open][data-keep]")].map((one) => one.dataset.keep));
  node.replaceChildren(...children.flat().filter(Boolean));
  for (const one of node.querySelectorAll("details[data-keep]")) if (open.has(one.dataset.keep)) one.open = true;
  if (focused) [...node.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focused)?.focus();
}

/** Runs `work` a moment after the last of many calls, but never later than `longest_ms` after the first. */
export function soon(work, pause_ms, longest_ms = pause_ms * 4) {
  let timer = 0;
  let first = 0;
  return () => {
    const now = performance.now();
    if (!timer) first = now;
    clearTimeout(timer);
    const run = () => {
      timer = 0;
      work();
    };
    timer = setTimeout(run, Math.max(0, Math.min(pause_ms, first + longest_ms - now)));
  };
}
