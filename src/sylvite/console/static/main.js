// The frame of the console: who one is, the pages, and what is said about the connection.

import { ask, can, get } from "./api.js";
import { h, notice, put } from "./dom.js";
import { clock } from "./format.js";
import { history as historyPage } from "./history.js";
import { job, jobs } from "./jobs.js";
import { keys } from "./keys.js";
import { live } from "./live.js";
import { consumers, log } from "./log.js";
import { login } from "./login.js";
import { minions } from "./minions.js";
import { showHelp, shortcuts } from "./shortcuts.js";
import { timeline } from "./timeline.js";
import { tokens } from "./tokens.js";

/** Name, title, which of these verbs it needs, what shows it, and whether it stands in the list. */
const PAGES = [
  ["live", "Live events", ["events:read"], live, true],
  ["history", "History", ["events:read"], historyPage, true],
  ["timeline", "Time lines", ["events:read"], timeline, true],
  ["minions", "Minions", ["minions:read"], minions, true],
  ["keys", "Keys", ["keys:read"], keys, true],
  ["jobs", "Jobs", ["jobs:read", "jobs:run"], jobs, true],
  ["job", "Job", ["jobs:read", "events:read"], job, false],
  ["consumers", "Consumers", ["status:read"], consumers, true],
  ["log", "Log", ["log:read"], log, true],
  ["tokens", "Tokens", ["tokens:admin"], tokens, true],
].map(([name, title, verbs, show, isListed]) => ({ name, title, verbs, show, isListed }));
const READY_MS = 5000;

const app = h("div.app");
document.body.append(app);
let who = null;
let leaving = null;
let frame = null;
let isOver = false;

addEventListener("hashchange", () => show());
addEventListener("sylvite-over", () => over("The session is over: its token was revoked, or its time is over. Log in again."));
enter();

async function enter() {
  try {
    who = await get("v1/whoami");
    isOver = false;
  } catch (problem) {
    if (problem.isOver) return showLogin();
    put(app, h("main.login", { id: "main" }, notice("error", problem.message, h("button.primary", { type: "button", onclick: enter }, "Try again"))));
    return;
  }
  frame = makeFrame();
  put(app, frame.elements);
  if (["", "login"].includes(place().name)) location.hash = `#/${frame.links[0]?.dataset.name ?? "live"}`;
  else show();
}

function showLogin(reason = "") {
  leave();
  frame?.end.abort();
  frame = null;
  document.title = "Log in · Sylvite";
  login(app, place().parameters, { entered: enter, reason });
}

/** End what the page does, and the questions that it has asked. */
function leave() {
  leaving?.abort();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
}

function over(reason) {
  if (isOver) return;
  isOver = true;
  who = null;
  showLogin(reason);
}

/** Return which page the address is of, and its parameters. */
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { name: path, parameters: new URLSearchParams(query ?? "") };
}

function show() {
  if (!who || !frame) return;
  leave();
  leaving = new AbortController();
  const { name, parameters } = place();
  const page = PAGES.find((each) => each.name === name);
  const root = h(`div.page.page-${page?.name ?? "none"}`);
  document.title = `${page?.title ?? "Not found"} · Sylvite`;
  put(frame.main, h("h1", { tabindex: -1 }, page?.title ?? "Not found"), root);
  for (const link of frame.links) {
    if (link.dataset.name === name || (name === "job" && link.dataset.name === "jobs")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  frame.links.find((link) => link.hasAttribute("aria-current"))?.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (!page) put(root, notice("quiet", "There is no such page", h("p", h("a", { href: "#/live" }, "To the live events"))));
  else if (!page.verbs.some((verb) => can(who, verb))) put(root, notice("quiet", "This token may not see this page", `It needs the scope ${page.verbs.join(" or ")}.`));
  else page.show(root, parameters, { who, signal: leaving.signal, setParameters: (query) => setParameters(name, query) });
  if (frame.isShown) frame.main.querySelector("h1").focus({ preventScroll: true });
  frame.isShown = true;
}

/** Let the address say what a page shows, so that it can be kept and sent on. */
function setParameters(name, query) {
  const found = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  const text = found.toString();
  const hash = `#/${name}${text ? `?${text}` : ""}`;
  if (hash !== location.hash) globalThis.history.replaceState(null, "", hash);
}

function makeFrame() {
  const end = new AbortController();
  const main = h("main", { id: "main", tabindex: -1 });
  const links = PAGES.filter((page) => page.isListed && page.verbs.some((verb) => can(who, verb)))
    .map((page) => h("a", { href: `#/${page.name}`, "data-name": page.name }, page.title));
  const broker = h("span.broker", { role: "status" });
  const words = { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
  const theme = h("button.quiet", { type: "button", onclick: () => { theme.textContent = words[globalThis.sylviteTheme.turn()]; } }, words[globalThis.sylviteTheme.read()]);
  const skip = h("a.skip", { href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, "To the content");
  const elements = [
    skip,
    h("header.top", h("span.brand", h("img", { src: "console/icon.svg", alt: "", width: 20, height: 20 }), "Sylvite"), broker,
      h("span.who", h("span.hint", who.owner), theme, h("button.quiet.keys-help", { type: "button", onclick: showHelp }, "Shortcuts"), h("button.quiet", { type: "button", onclick: logOut }, "Log out"))),
    h("nav.side", { "aria-label": "Pages" }, links), main,
  ];
  shortcuts(end.signal, { "?": showHelp });
  watchBroker(broker, end.signal);
  return { elements, main, links, end, isShown: false };
}

/** Say whether the broker answers: it may be away while the interface is there. */
function watchBroker(element, signal) {
  let since = null;
  const tell = (kind, text) => {
    if (element.textContent !== text) put(element, h(`span.dot.${kind}`, { "aria-hidden": "true" }), text);
  };
  const look = async () => {
    if (signal.aborted) return;
    if (!document.hidden) {
      try {
        const answer = await fetch("readyz", { cache: "no-store" });
        if (answer.ok) since = null;
        else since ??= ["The broker does not answer", new Date().toISOString()];
      } catch {
        since ??= ["The interface does not answer", new Date().toISOString()];
      }
      if (signal.aborted) return;
      if (since) tell("bad", `${since[0]} since ${clock(since[1], { millis: false })}`);
      else tell("good", "Broker answers");
      element.classList.toggle("is-good", !since);
    }
    setTimeout(look, READY_MS);
  };
  look();
}

async function logOut() {
  try {
    await ask("DELETE", "console/session");
  } catch (problem) {
    if (!problem.isOver) return put(frame.main, notice("error", problem.message, "You are still logged in."));
  }
  isOver = true;
  who = null;
  location.hash = "#/login";
  showLogin("You are logged out.");
}
