// An event as a row of a list, and whole.

import { can, getEvents, read, withQuery } from "./api.js";
import { copy, h, put } from "./dom.js";
import { ago, clock, count, hue, moment, plural, summary } from "./format.js";

const HEAD = /^\{"offset":(\d+),"epoch":"([0-9a-f]{16})","stamp":"([^"]*)","tag":("(?:[^"\\]|\\.)*")/;
const KEPT_CHARACTERS_MAX = 32 * 1024;

/** One line of a stream, read when it is first looked at.  `skipped`: how many before it are not in the list. */
export class Item {
  #event = null;

  constructor(line, skipped = 0) {
    this.skipped = skipped;
    this.isCut = line.length > KEPT_CHARACTERS_MAX;
    this.line = this.isCut ? line.slice(0, KEPT_CHARACTERS_MAX) : line;
    const found = HEAD.exec(line);
    this.key = found ? `${found[2]}.${found[1]}` : line.slice(0, 40);
    this.size = this.line.length;
  }

  get event() {
    this.#event ??= this.isCut ? headOf(this.line) : read(this.line);
    return this.#event;
  }
}

/** Events that are missing, in a list of those that are there. */
export class GapItem {
  static #made = 0;
  size = 100;
  skipped = 0;
  class = "gap";

  constructor(gap) {
    this.gap = gap;
    GapItem.#made += 1;
    this.key = `gap${GapItem.#made}`;
  }
}

/** Return what is told of a large event before its data. */
function headOf(line) {
  const [, offset, epoch, stamp, tag] = HEAD.exec(line);
  return { offset: Number(offset), epoch, stamp, tag: JSON.parse(tag), sender: "", data: null };
}

export function gapText(gap) {
  if (gap.reason === "reset") return "The log is another one from here on; its events follow from the beginning.";
  const many = gap.count === null ? "An unknown number of events" : plural(gap.count, "event");
  const why = { retention: "retention took them", damage: "the log is damaged there" }[gap.reason] ?? gap.reason;
  return `${many} ${gap.count === 1 ? "is" : "are"} missing here: ${why}.`;
}

/** Return the cells of a row of a list of events. */
export function row(item) {
  if (item.gap) return [h("span.gap-text", gapText(item.gap))];
  const { event } = item;
  const group = event.tag.split("/").slice(0, 2).join("/");
  return [
    h("span.time", clock(event.stamp)),
    h("span.tag", { style: { "--hue": hue(group) } }, event.tag),
    h("span.data", item.isCut ? "(large)" : summary(event.data)),
    item.skipped ? h("span.skipped", { title: `${plural(item.skipped, "event")} before this one not shown` }, `+${count(item.skipped)}`) : null,
  ];
}

const JID = /^\d{20}$/;

/** Return the jid and the minion that an event is about, where it is about one. */
export function about(event) {
  const data = event.data ?? {};
  const parts = event.tag.split("/");
  const jid = typeof data.jid === "string" && JID.test(data.jid) ? data.jid : parts.find((part) => JID.test(part));
  const ofTag = parts[0] === "salt" && ["minion", "beacon"].includes(parts[1]) ? parts[2] : null;
  return { jid: jid ?? null, minion: typeof data.id === "string" ? data.id : ofTag };
}

/** The pane with one event, whole. */
export class Detail {
  constructor(who, onClose) {
    this.who = who;
    this.title = h("h2", { tabindex: -1 }, "Event");
    this.body = h("div.detail-body");
    this.element = h("section.detail", { "aria-label": "Event", hidden: true },
      h("div.detail-head", this.title, h("button.quiet", { type: "button", onclick: () => { this.close(); onClose(); } }, "Close")),
      this.body);
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { this.close(); onClose(); }
    });
  }

  close() { this.element.hidden = true; }

  async show(item) {
    this.element.hidden = false;
    this.shown = item;
    // On a phone it covers the list.
    if (getComputedStyle(this.element).position === "fixed") this.title.focus({ preventScroll: true });
    if (item.gap) {
      put(this.title, "Missing events");
      put(this.body, h("p", gapText(item.gap)), facts([["From", `@${item.gap.first}`], ["Up to", `@${item.gap.next - 1}`], ["More", item.gap.detail]]));
      return;
    }
    let { event } = item;
    put(this.title, event.tag);
    if (item.isCut) {
      put(this.body, h("p.hint", "Fetching the whole event…"));
      try {
        event = await getEvents(`v1/events/${event.offset}`);
      } catch (problem) {
        put(this.body, h("p.bad", problem.message));
        return;
      }
      if (this.shown !== item) return;
    }
    put(this.body, this.#of(event));
  }

  #of(event) {
    const { jid, minion } = about(event);
    const to = (query, text) => h("a.button", { href: withQuery("#/timeline", query) }, text);
    return [
      facts([
        ["Time", `${moment(event.stamp)}${event.stamp.slice(19, 26)} · ${ago(event.stamp)}`], ["Offset", `@${event.offset}`],
        ["From", event.sender], ["Answers", event.cause === undefined ? "" : `@${event.cause} (hop ${event.hop})`], ["Source", event.source],
        ["Epoch", event.epoch],
      ]),
      h("div.actions",
        jid && to({ job: jid }, "This job"), minion && to({ minion }, "This minion"), to({ event: event.offset }, "Cause and effects"),
        jid && can(this.who, "jobs:read") && h("a.button", { href: withQuery("#/job", { jid }) }, "Returns"),
        h("button", { type: "button", onclick: (click) => copy(click.target, JSON.stringify(event, null, 2)) }, "Copy")),
      h("h3", "Data"), tree(event.data),
    ];
  }
}

/** Names and values below each other; those that are empty are left out. */
export function facts(pairs) {
  return h("dl.facts", pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .map(([name, value]) => h("div", h("dt", name), h("dd", value))));
}

/** A value as indented JSON, its kinds told apart. */
export function tree(value) {
  const text = JSON.stringify(value, null, 2) ?? "null";
  const pattern = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  const parts = [];
  let end = 0;
  if (text.length < 200_000) {
    for (const found of text.matchAll(pattern)) {
      const kind = found[2] ? "name" : found[1] ? "text" : found[3] ? "word" : "number";
      parts.push(text.slice(end, found.index), h(`span.json-${kind}`, found[1] ?? found[0]), found[2] ?? "");
      end = found.index + found[0].length;
    }
  }
  return h("pre.json", { tabindex: 0, "aria-label": "Data as JSON" }, parts, text.slice(end));
}

const TAGS = [["myco/", "tags that begin so"], ["salt/job/*/ret/*", "a pattern: * for anything, ? for one character"], ["salt/key salt/auth", "either"]];
const CONDITIONS = [
  ["data.retcode != 0", "a value of the data"], ["glob(data.id, \"web*\")", "a pattern; there is regex(), too"], ["data.ok and not data.dry", "and, or, not, brackets"],
  ["data.fun in [\"state.apply\", \"state.highstate\"]", "one of several"], ["has(data.error)", "whether it is there"], ["any(data.return, it.result == False)", "one of many"],
  ["sender == \"uid:0\"", "who it came from; tag, stamp, offset and cause can be asked for, too"],
];

/** What can be written into a filter. */
export function filterHelp() {
  const lines = (pairs) => h("dl.facts.wide", pairs.map(([written, what]) => h("div", h("dt", h("code", written)), h("dd", what))));
  return h("details.help", h("summary", "What can be written here"), h("h3", "Tag"), lines(TAGS), h("h3", "Condition"), lines(CONDITIONS));
}
