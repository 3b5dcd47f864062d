// History: what is in the log, oldest first, a page at a time.

import { getEvents, withQuery } from "./api.js";
import { field, h, notice, put, select } from "./dom.js";
import { Detail, GapItem, Item, filterHelp, row } from "./event.js";
import { plural } from "./format.js";
import { LongList } from "./list.js";
import { shortcuts } from "./shortcuts.js";

const PAGE = 500;
const MOST = 20_000;
const BEGINNINGS = [["15m", "15 min ago"], ["1h", "1 h ago"], ["6h", "6 h ago"], ["1d", "1 day ago"], ["7d", "7 days ago"], ["oldest", "the oldest"], ["", "a place of your own"]];

export function history(root, parameters, { who, signal, setParameters }) {
  const tag = h("input", { value: parameters.get("tag") ?? "", placeholder: "salt/job/*  myco/", autocomplete: "off", spellcheck: "false" });
  const where = h("input", { value: parameters.get("where") ?? "", placeholder: "data.id == 'web1'", autocomplete: "off", spellcheck: "false" });
  const since = parameters.get("since") ?? "1h";
  const isNamed = BEGINNINGS.some(([value]) => value === since && value);
  const from = select(BEGINNINGS, isNamed ? since : "");
  const own = h("input", { value: isNamed ? "" : since, placeholder: "@1200  or  2026-11-29 07:00", autocomplete: "off" });
  const ownField = field("Place", own);
  const wrong = h("p.bad", { role: "alert", hidden: true });
  const status = h("p.hint", { role: "status" });
  const more = h("button", { type: "button", hidden: true, onclick: () => load() }, "Show more");
  const empty = h("div.list-empty");
  const list = new LongList({
    label: "Events, oldest first", count: () => items.length, at: (index) => items[index], key: (item) => item.key, row,
    onSelect: (item) => detail.show(item),
  });
  const detail = new Detail(who, () => { list.clearSelection(); list.element.focus(); });
  let items = [];
  let next = null;
  let asked = 0;
  put(root,
    h("form.filter", { role: "search", onsubmit: (event) => { event.preventDefault(); restart(); } },
      field("Tag", tag), field("Condition", where), field("From", from), ownField, h("div.field.buttons", h("button.primary", { type: "submit" }, "Look"))),
    filterHelp(), wrong,
    h("div.strip.thin", status, more),
    h("div.split", h("div.list-box", list.element, empty), detail.element));
  const showOwn = () => { ownField.hidden = from.value !== ""; };
  from.addEventListener("change", () => { showOwn(); if (from.value) restart(); else own.focus(); });
  showOwn();
  shortcuts(signal, { "/": () => tag.focus(), j: () => list.step(1), k: () => list.step(-1) });
  restart();

  function restart() {
    items = [];
    next = null;
    detail.close();
    list.redraw();
    const query = { tag: tag.value.trim(), where: where.value.trim(), since: from.value || own.value.trim() };
    setParameters({ ...query, since: query.since === "1h" ? "" : query.since });
    load();
  }

  async function load() {
    const mine = ++asked;
    more.hidden = true;
    wrong.hidden = true;
    status.textContent = "Looking…";
    const place = next === null ? { since: from.value || own.value.trim() || "oldest" } : { after: next };
    try {
      const page = await getEvents(withQuery("v1/events", { tag: tag.value.split(/[\s,]+/).filter(Boolean), where: where.value.trim(), limit: PAGE, ...place }), signal);
      if (mine === asked) take(page);
    } catch (problem) {
      if (signal.aborted || mine !== asked) return;
      if (problem.isOver) dispatchEvent(new Event("sylvite-over"));
      status.textContent = "";
      wrong.textContent = problem.message;
      wrong.hidden = false;
      more.hidden = next === null;
      if (!items.length) put(empty, notice("quiet", "Nothing to show"));
    }
  }

  function take(page) {
    items.push(...page.gaps.map((gap) => new GapItem(gap)), ...page.items.map((event) => new Item(JSON.stringify(event))));
    next = page.next ?? next;
    list.refresh();
    empty.hidden = items.length > 0;
    if (!items.length) put(empty, notice("quiet", page.end ? "No event fits" : "None so far", page.end ? "From that place on there is none. Try an earlier one, or a wider filter." : "The log is long; look on."));
    const isFull = items.length >= MOST;
    more.hidden = page.end || page.next === null || isFull;
    status.textContent = `${plural(items.length, "event")}${page.end ? ", up to now" : isFull ? ": narrow the filter to see others" : ""}`;
  }
}
