// Puts the page together: settings, header, views by the address's hash, the panel, and the phones where there are any.
//
// An address is `#view` or `#view/message-id`: the second opens the message's story beside the view.

import { Aside } from "./aside.js";
import { el } from "./dom.js";
import { Figures } from "./figures.js";
import { Header } from "./header.js";
import { Messages } from "./messages.js";
import { Panel } from "./panel.js";
import { Phones } from "./phones.js";
import { Plugins } from "./plugins.js";
import { Timeline } from "./timeline.js";

const main = document.getElementById("main");

const plugins = new Plugins();
const limitsOf = (name) => plugins.limitsOf(name);
const figures = new Figures();
const messages = new Messages();
const aside = new Aside(limitsOf);
const panel = new Panel(() => (location.hash = `#${current().view}`));

const header = new Header((stats) => {
  figures.show(stats);
  aside.reload();
  count("aside", stats.set_aside_runs);
});
const timeline = new Timeline({
  limitsOf,
  onConnection: (connected) => header.setConnected(connected),
  onChange: (change) => {
    header.readSoon();
    messages.reload();
    if (change.message) panel.changed(change.message.id);
  },
});

// What a plugin is allowed stands in each run's card.
plugins.load().then(() => timeline.refresh());

const VIEWS = {
  timeline: { title: "Timeline", node: timeline.node },
  messages: { title: "Messages", node: messages.node, enter: () => messages.load() },
  plugins: { title: "Plugins", node: plugins.node, enter: () => plugins.load() },
  aside: { title: "Set aside", node: aside.node, enter: () => aside.load() },
  figures: { title: "Figures", node: figures.node, enter: () => Promise.all([header.read(), figures.read()]) },
};

const tabs = Object.entries(VIEWS).map(([name, { title }]) => el("a", { href: `#${name}`, data: { view: name } }, title));
document.getElementById("tabs").append(...tabs);

function current() {
  const [view, id] = location.hash.slice(1).split("/");
  return { view: view in VIEWS ? view : "timeline", id: id ? decodeURIComponent(id) : null };
}

function count(view, number) {
  const tab = tabs.find((one) => one.dataset.view === view);
  tab.replaceChildren(VIEWS[view].title, number > 0 ? el("span", { class: "count" }, String(number)) : "");
}

let shown = null;

function route() {
  const { view, id } = current();
  if (view !== shown) {
    shown = view;
    main.replaceChildren(VIEWS[view].node);
    document.body.dataset.view = view;
    document.title = view === "timeline" ? "relais" : `${VIEWS[view].title} · relais`;
    for (const tab of tabs) {
      if (tab.dataset.view === view) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    VIEWS[view].enter?.();
  }
  panel.show(id);
}

// An ordinary link to the main part would be taken for a view.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

addEventListener("hashchange", route);
route();

try {
  const settings = await (await fetch("/page/settings.json")).json();
  if (settings.phones) new Phones(document.getElementById("deck"), settings.phones);
} catch {
  // Without its settings the page has no phones, which is how a host in production looks.
}
