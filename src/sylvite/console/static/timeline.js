// Time lines: of a job, of a minion, and of an event with its causes and effects.

import { can, get, getEvents, withQuery } from "./api.js";
import { field, h, notice, put, s, select } from "./dom.js";
import { Detail, GapItem, Item, row } from "./event.js";
import { clock, count, duration, moment, plural } from "./format.js";
import { LongList } from "./list.js";
import { EventStream } from "./stream.js";

const MOST = 5000;
const UP_MAX = 64;
const PAGES_MAX = 10;
const SPANS = [["15m", "15 min"], ["1h", "1 h"], ["6h", "6 h"], ["1d", "1 day"], ["7d", "7 days"]];

export function timeline(root, parameters, context) {
  if (parameters.get("job")) return ofJob(root, parameters.get("job"), context);
  if (parameters.get("minion")) return ofMinion(root, parameters, context);
  if (parameters.get("event")) return ofChain(root, parameters.get("event"), context);
  return choose(root);
}

function choose(root) {
  const go = (name) => (event) => {
    event.preventDefault();
    const value = new FormData(event.target).get("of").trim().replace(/^@/, "");
    if (value) location.hash = withQuery("#/timeline", { [name]: value });
  };
  const ask_ = (name, label, placeholder) => h("form.filter", { onsubmit: go(name) },
    field(label, h("input", { name: "of", placeholder, autocomplete: "off", spellcheck: "false", required: true })), h("div.field.buttons", h("button.primary", { type: "submit" }, "Show")));
  put(root, h("p.lead", "How one thing went, step by step."),
    ask_("job", "Of a job, by its id", "20261129070521172446"), ask_("minion", "Of a minion, by its id", "web1"),
    ask_("event", "Of an event: what caused it, what it caused", "@1234"));
}

// -- Events as they come, with their place in time ---------------------------------------------------------------------

/** A stream of events into a list, oldest first, and what is drawn above it. */
function gather(root, { filter, since, label, draw, head, context }) {
  const { who, signal } = context;
  const items = [];
  const list = new LongList({
    label, count: () => items.length, at: (index) => items[index], key: (item) => item.key,
    row: (item) => [!item.gap && h("span.since", `+${duration((Date.parse(item.event.stamp) - start(items)) / 1000)}`), ...row(item)],
    onSelect: (item) => detail.show(item),
  });
  const detail = new Detail(who, () => { list.clearSelection(); list.element.focus(); });
  const status = h("p.hint", { role: "status" }, "Looking…");
  const drawing = h("div.drawing");
  const empty = h("div.list-empty");
  put(root, head, drawing, h("div.strip.thin", status), h("div.split", h("div.list-box", list.element, empty), detail.element));
  let isDirty = true;
  let state = "connecting";
  const stream = new EventStream({
    filter, since,
    onLines(lines) {
      const room = Math.max(0, MOST - items.length);
      items.push(...lines.slice(0, room).map((line) => new Item(line)));
      if (items.length >= MOST) stream.stop();
      isDirty = true;
    },
    onGap(gap) { items.push(new GapItem(gap)); isDirty = true; },
    onState(now, problem) {
      state = now === "lost" || now === "refused" ? problem.message : now;
      if (now === "over") dispatchEvent(new Event("sylvite-over"));
      isDirty = true;
    },
  }).start();
  const timer = setInterval(() => {
    if (!isDirty) return;
    isDirty = false;
    const events = items.filter((item) => item.event).map((item) => item.event);
    list.refresh();
    put(drawing, draw(events, (event) => list.select(items.findIndex((item) => item.event === event))));
    const words = { live: "New ones show as they come.", connecting: "Looking…" };
    status.textContent = items.length >= MOST ? `The first ${count(MOST)} events; there are more.` : `${plural(items.length, "event")}. ${words[state] ?? state}`;
    empty.hidden = items.length > 0;
    put(empty, notice("quiet", state === "connecting" ? "Looking…" : "No events", "None was found from that time on. Retention may have taken them, or the token may not see them."));
  }, 150);
  signal.addEventListener("abort", () => { clearInterval(timer); stream.stop(); });
}

const start = (items) => Date.parse((items.find((item) => item.event) ?? { event: { stamp: 0 } }).event.stamp);

// -- A job -------------------------------------------------------------------------------------------------------------

async function ofJob(root, jid, context) {
  put(root, h("p.hint", "Looking…"));
  let since = dayBefore(jid);
  if (can(context.who, "jobs:read")) {
    try {
      const job = await get(`v1/jobs/${encodeURIComponent(jid)}`, context.signal);
      since = new Date(Date.parse(job.started) - 5000).toISOString();
    } catch (problem) {
      if (context.signal.aborted) return;
      if (problem.status === 400) { put(root, notice("error", problem.message)); return; }
    }
  }
  gather(root, {
    filter: { tag: [`salt/job/${jid}/`, `salt/run/${jid}/`] }, since, label: "Events of the job", context, draw: drawJob,
    head: h("p.lead", "Job ", h("code", jid), can(context.who, "jobs:read") && [" · ", h("a", { href: withQuery("#/job", { jid }) }, "returns")]),
  });
}

/** A jid is a time of its master's clock; which zone that has, it does not say. */
function dayBefore(jid) {
  const [, year, month, day] = /^(\d{4})(\d\d)(\d\d)/.exec(jid) ?? [];
  if (!year) return "oldest";
  const at = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day) - 1));
  return Number.isNaN(at.getTime()) ? "oldest" : at.toISOString();
}

/** Draw who has answered when: a bar for each minion, from the job's beginning to its return. */
function drawJob(events, choose_) {
  const began = events.find((event) => /\/(new|publish)$/.test(event.tag));
  const returns = events.filter((event) => /^salt\/(job|run)\/\d+\/ret/.test(event.tag));
  const expected = new Set(began?.data.minions ?? []);
  const rows = returns.map((event) => ({ id: event.data.id ?? event.tag.split("/").at(-1), event }));
  const missing = [...expected].filter((id) => !rows.some((each) => each.id === id));
  if (!began && !rows.length) return null;
  const begin = Date.parse((began ?? events[0]).stamp);
  const span = Math.max(1, ...rows.map(({ event }) => Date.parse(event.stamp) - begin));
  return h("section.bars", { "aria-label": "Who has answered when" },
    rows.slice(0, 200).map(({ id, event }) => {
      const took_ms = Date.parse(event.stamp) - begin;
      const isGood = event.data.success !== false && !event.data.retcode;
      return h("button.bar", { type: "button", onclick: () => choose_(event) }, h("span.bar-name", id),
        h("span.bar-way", { "aria-hidden": "true" }, h(`span.bar-fill.${isGood ? "good" : "bad"}`, { style: { width: `${Math.max(1, (took_ms / span) * 100)}%` } })),
        h("span.bar-text", `${isGood ? "returned" : "failed"} after ${duration(took_ms / 1000)}`));
    }),
    missing.slice(0, 200).map((id) => h("div.bar", h("span.bar-name", id), h("span.bar-way"), h("span.bar-text.waiting", "has not answered"))),
    began && !expected.size ? h("p.hint", "Which minions were expected is not known from its events.") : null);
}

// -- A minion ----------------------------------------------------------------------------------------------------------

const LANES = [
  ["keys", /^salt\/(auth|key)\b/], ["presence", /^(salt\/minion\/[^/]+\/start|minion\/|salt\/presence)/], ["jobs", /^salt\/job\//], ["beacons", /^salt\/beacon\//], ["others", /./],
];

function ofMinion(root, parameters, context) {
  const id = parameters.get("minion");
  const span = select(SPANS, parameters.get("since") ?? "1h", {
    onchange: () => { location.hash = withQuery("#/timeline", { minion: id, since: span.value }); },
  });
  const text = JSON.stringify(id);
  // Events name a minion in their data, or in a segment of their tag.
  const where = `data.id == ${text} or ${text} in data.minions or ${JSON.stringify(`/${id}/`)} in tag or glob(tag, ${JSON.stringify(`*/${id}`)})`;
  gather(root, {
    filter: { where }, since: span.value, label: "Events of the minion", context,
    head: h("div.filter", h("p.lead", "Minion ", h("code", id)), field("The last", span)), draw: drawLanes,
  });
}

/** Draw events as dots on a line for each kind. */
function drawLanes(events, choose_) {
  if (!events.length) return null;
  const times = events.map((event) => Date.parse(event.stamp));
  const [begin, end] = [times[0], Math.max(times.at(-1), times[0] + 1000)];
  const lane = (event) => LANES.findIndex(([, pattern]) => pattern.test(event.tag));
  const used = LANES.map((_, index) => index).filter((index) => events.some((event) => lane(event) === index));
  const height = used.length * 24 + 18;
  const x = (time) => 76 + ((time - begin) / (end - begin)) * 900;
  return h("div.lanes", s("svg", { viewBox: `0 0 1000 ${height}`, role: "img", "aria-label": `${plural(events.length, "event")} from ${moment(begin)} to ${moment(end)}: ${used.map((index) => `${events.filter((event) => lane(event) === index).length} of ${LANES[index][0]}`).join(", ")}` },
    used.map((index, at) => [s("text", { x: 0, y: at * 24 + 16 }, LANES[index][0]), s("line", { x1: 70, x2: 986, y1: at * 24 + 12, y2: at * 24 + 12 })]),
    events.map((event, at) => s(`circle${event.data.success === false || event.data.retcode ? ".bad" : ""}`, {
      cx: x(times[at]), cy: used.indexOf(lane(event)) * 24 + 12, r: 5, onclick: () => choose_(event),
    }, s("title", `${clock(event.stamp)} ${event.tag}`))),
    s("text", { x: 76, y: height - 2 }, clock(begin, { millis: false })), s("text", { x: 976, y: height - 2, "text-anchor": "end" }, clock(end, { millis: false }))));
}

// -- A chain -----------------------------------------------------------------------------------------------------------

async function ofChain(root, offset, { who, signal }) {
  put(root, h("p.hint", "Looking for what caused it, and what it caused…"));
  const detail = new Detail(who, () => {});
  try {
    const event = await getEvents(`v1/events/${encodeURIComponent(offset)}`, signal);
    const { first, isWhole } = await upFrom(event, signal);
    const { effects, isEnd } = await downFrom(first, signal);
    const drawn = nodes(first, effects, first, event.offset, (each) => detail.show(new Item(JSON.stringify(each))));
    put(root,
      h("p.lead", "What caused ", h("code", `@${event.offset} ${event.tag}`), ", and what it caused"),
      isWhole ? null : h("p.hint", "What caused the first of these is not there any more, or the token may not see it."),
      h("div.split", h("ul.chain", drawn), detail.element),
      isEnd ? null : h("p.hint", "The log is long: later effects were not looked for."),
      effects.size === 0 && event.cause === undefined ? h("p.hint", "It names no cause, and no event names it as one.") : null);
  } catch (problem) {
    if (!signal.aborted) put(root, notice("error", problem.message));
  }
}

async function upFrom(event, signal) {
  let first = event;
  for (let step = 0; first.cause !== undefined && step < UP_MAX; step += 1) {
    try {
      first = await getEvents(`v1/events/${first.cause}`, signal);
    } catch (problem) {
      if (problem.status === 404 || problem.status === 410) return { first, isWhole: false };
      throw problem;
    }
  }
  return { first, isWhole: first.cause === undefined };
}

/** Return what was caused by an event and by its effects, by the offset of the cause. */
async function downFrom(first, signal) {
  const effects = new Map();
  const known = new Set([first.offset]);
  let place = { since: `@${first.offset}` };
  for (let at = 0; at < PAGES_MAX; at += 1) {
    const page = await getEvents(withQuery("v1/events", { where: "cause is not None", limit: 1000, ...place }), signal);
    for (const event of page.items) {
      if (!known.has(event.cause) || known.has(event.offset)) continue;
      known.add(event.offset);
      effects.set(event.cause, [...(effects.get(event.cause) ?? []), event]);
    }
    if (page.end || page.next === null) return { effects, isEnd: page.end };
    place = { after: page.next };
  }
  return { effects, isEnd: false };
}

function nodes(event, effects, before, marked, choose_) {
  const took_ms = Date.parse(event.stamp) - Date.parse(before.stamp);
  const below = effects.get(event.offset) ?? [];
  return h("li", h("button.node", { type: "button", "aria-current": event.offset === marked ? "true" : null, onclick: () => choose_(event) },
    h("span.time", clock(event.stamp)), h("span.tag", event.tag), h("span.hint", event === before ? `@${event.offset}` : `@${event.offset}, ${duration(took_ms / 1000)} later`)),
  below.length ? h("ul.chain", below.map((each) => nodes(each, effects, event, marked, choose_))) : null);
}
