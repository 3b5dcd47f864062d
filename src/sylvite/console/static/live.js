// Live events: the newest first, as they come.

import { RateChart, Rates } from "./chart.js";
import { withQuery } from "./api.js";
import { debounced, field, h, notice, put, select } from "./dom.js";
import { Detail, GapItem, Item, filterHelp, row } from "./event.js";
import { clock, count, plural } from "./format.js";
import { LongList } from "./list.js";
import { shortcuts } from "./shortcuts.js";
import { EventStream, secondOf } from "./stream.js";

const KEPT_MAX = 5000;
const KEPT_CHARACTERS_MAX = 16 * 1024 * 1024;
export const SHOWN_S = 200;
/** So many a second come into the list; of more, a sample. */
const SHOWN_AT_ONCE = 1000;
const DRAW_MS = 100;
const HIDDEN_MS = 60_000;
const BEGINNINGS = [["10s", "the last 10 s"], ["5m", "the last 5 min"], ["1h", "the last hour"], ["oldest", "the oldest"]];

/** The newest items, up to a number and a size; the oldest go. */
export class Kept {
  #items = [];
  #size = 0;

  get items() { return this.#items; }

  add(items) {
    this.#items.push(...items);
    for (const item of items) this.#size += item.size;
    let over = Math.max(0, this.#items.length - KEPT_MAX);
    let size = this.#size;
    for (let index = 0; index < over; index += 1) size -= this.#items[index].size;
    while (size > KEPT_CHARACTERS_MAX && over < this.#items.length - 1) { size -= this.#items[over].size; over += 1; }
    if (over) this.#items = this.#items.slice(over);
    this.#size = size;
  }

  clear() { this.#items = []; this.#size = 0; }
}

/** How many may come into the list now: so many a second, and more after a while without. */
export class Budget {
  #left = SHOWN_AT_ONCE;
  #at_ms = performance.now();

  /** Return which of so many are shown: their indices. */
  choose(number) {
    const now_ms = performance.now();
    this.#left = Math.min(SHOWN_AT_ONCE, this.#left + ((now_ms - this.#at_ms) / 1000) * SHOWN_S);
    this.#at_ms = now_ms;
    const shown = Math.min(number, Math.floor(this.#left));
    this.#left -= shown;
    return Array.from({ length: shown }, (_, index) => Math.floor(((index + 1) * number) / shown) - 1);
  }
}

export function live(root, parameters, { who, signal, setParameters }) {
  return new Live(root, parameters, who, signal, setParameters);
}

class Live {
  #kept = new Kept();
  #budget = new Budget();
  #rates = new Rates();
  #paused = null;
  #seen = 0;
  #unsampled_ms = -Infinity;
  #skipped = 0;
  #news = 0;
  #fresh = 0;
  #stream = null;
  #state = "connecting";
  #dirty = false;

  constructor(root, parameters, who, signal, setParameters) {
    this.setParameters = setParameters;
    this.tag = h("input", { value: parameters.get("tag") ?? "", placeholder: "salt/job/*  myco/", list: "seen-tags", autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
    this.where = h("input", { value: parameters.get("where") ?? "", placeholder: "data.retcode != 0", autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
    this.seenTags = h("datalist", { id: "seen-tags" });
    this.from = select(BEGINNINGS, parameters.get("from") ?? "10s");
    this.pause = h("button.primary", { type: "button", "aria-pressed": "false", onclick: () => this.togglePause() }, "Pause");
    this.status = h("p.stream-state", { role: "status" });
    this.sampling = h("p.sampling", { hidden: true });
    this.wrong = h("p.bad", { role: "alert", hidden: true });
    this.pill = h("button.pill", { type: "button", hidden: true, onclick: () => this.toTop() });
    this.empty = h("div.list-empty");
    this.list = new LongList({
      label: "Events, the newest first", count: () => this.items.length, at: (index) => this.items[this.items.length - 1 - index],
      key: (item) => item.key, row, onSelect: (item) => this.detail.show(item), onScroll: () => this.#drawPill(),
    });
    this.detail = new Detail(who, () => { this.list.clearSelection(); this.list.element.focus(); });
    this.chart = new RateChart(this.#rates, signal);
    put(root,
      h("form.filter", { role: "search", onsubmit: (event) => { event.preventDefault(); this.restart(); } },
        field("Tag", this.tag), field("Condition", this.where), field("From", this.from),
        h("div.field.buttons", this.pause)),
      filterHelp(),
      this.seenTags, this.wrong,
      h("div.strip", this.chart.element, h("div.strip-text", this.status, this.sampling)),
      h("div.split", h("div.list-box", this.pill, this.list.element, this.empty), this.detail.element));
    this.tag.addEventListener("focus", () => put(this.seenTags, this.#groups().map((value) => h("option", { value }))), { signal });
    const restart = debounced(() => this.restart(), 300);
    for (const input of [this.tag, this.where]) input.addEventListener("input", restart, { signal });
    this.from.addEventListener("change", () => this.restart(), { signal });
    shortcuts(signal, {
      "/": () => this.tag.focus(), " ": () => this.togglePause(), j: () => this.list.step(1), k: () => this.list.step(-1), t: () => this.toTop(),
    });
    const timer = setInterval(() => this.#draw(), DRAW_MS);
    signal.addEventListener("abort", () => { clearInterval(timer); this.#stream?.stop(); });
    this.#restWhileHidden(signal);
    this.restart();
  }

  /** The beginnings of tags in the list, to choose from. */
  #groups() {
    const tags = this.#kept.items.slice(-1000).filter((item) => !item.gap).map((item) => item.event.tag.split("/"));
    return [...new Set(tags.map((parts) => parts.slice(0, 2).join("/") + (parts.length > 2 ? "/" : "")))].sort().slice(0, 50);
  }

  get items() { return this.#paused ?? this.#kept.items; }

  get filter() {
    return { tag: this.tag.value.split(/[\s,]+/).filter(Boolean), where: this.where.value.trim() };
  }

  restart(after = null) {
    this.#stream?.stop();
    const filter = this.filter;
    this.setParameters({ tag: this.tag.value.trim(), where: filter.where, from: this.from.value === "10s" ? "" : this.from.value });
    if (after === null) {
      this.#kept.clear();
      if (this.#paused) this.togglePause();
      this.#seen = this.#skipped = this.#fresh = 0;
      this.#unsampled_ms = -Infinity;
      this.detail.close();
      this.list.redraw();
    }
    this.wrong.hidden = true;
    this.#stream = new EventStream({
      filter, since: this.from.value, after,
      onLines: (lines) => this.#take(lines),
      onGap: (gap) => { this.#keep([new GapItem(gap)]); },
      onState: (state, problem, ahead_s) => {
        if (state === "live") this.#rates.ahead_s = ahead_s;
        this.#tell(state, problem);
      },
    }).start();
  }

  /** Nobody looks: the connection is one of few that a browser has for all its tabs. */
  #restWhileHidden(signal) {
    let timer = 0;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (document.hidden) timer = setTimeout(() => { this.#stream.stop(); this.#tell("resting"); }, HIDDEN_MS);
      else if (this.#state === "resting") this.restart(this.#stream.last);
    }, { signal });
  }

  #take(lines) {
    for (const line of lines) this.#rates.add(secondOf(line));
    this.#seen += lines.length;
    const chosen = this.#budget.choose(lines.length);
    let before = -1;
    const items = chosen.map((index) => {
      const skipped = index - before - 1 + this.#skipped;
      this.#skipped = 0;
      before = index;
      return new Item(lines[index], skipped);
    });
    this.#skipped += lines.length - 1 - before;
    if (items.length < lines.length) this.#unsampled_ms = performance.now();
    this.#keep(items);
  }

  #keep(items) {
    this.#kept.add(items);
    this.#news += items.length;
    this.#dirty = true;
  }

  #tell(state, problem) {
    this.#state = state;
    const text = {
      connecting: () => "Connecting…", live: () => "Live", resting: () => "Resting while this page is hidden; it goes on behind the last event",
      lost: () => `Cut at ${clock(new Date().toISOString(), { millis: false })}: ${problem.message} It goes on behind the last event.`,
      refused: () => "Not running", over: () => "Logged out",
    }[state]();
    this.state = text;
    this.status.dataset.state = state;
    if (state === "refused") {
      this.wrong.textContent = problem.message;
      this.wrong.hidden = false;
    }
    if (state === "over") dispatchEvent(new Event("sylvite-over"));
    this.#dirty = true;
  }

  togglePause() {
    this.#paused = this.#paused ? null : this.#kept.items.slice();
    this.pause.setAttribute("aria-pressed", String(this.#paused !== null));
    this.pause.textContent = this.#paused ? "Go on" : "Pause";
    this.#fresh = 0;
    this.#news = 0;
    this.list.refresh();
    if (!this.#paused) this.list.toTop();
    this.#dirty = true;
    this.#draw();
  }

  toTop() {
    if (this.#paused) this.togglePause();
    this.list.toTop();
    this.#fresh = 0;
    this.#drawPill();
  }

  #draw() {
    const isSampling = performance.now() - this.#unsampled_ms < 3000;
    if (this.sampling.hidden === isSampling) this.#dirty = true;
    if (!this.#dirty) return;
    this.#dirty = false;
    const news = this.#news;
    this.#news = 0;
    if (this.#paused || !this.list.isAtTop) this.#fresh += news;
    else this.#fresh = 0;
    if (!this.#paused) this.list.refresh(news);
    this.sampling.hidden = !isSampling;
    if (isSampling) {
      this.sampling.textContent = `More come than can be read: the list has a sample, about ${SHOWN_S} a second. All are counted, and all are in the log; a narrower filter shows each.`;
    }
    put(this.status, h("span.dot", { "aria-hidden": "true" }), `${this.#paused ? "Paused" : this.state}`, h("span.hint", ` · ${plural(this.#seen, "event")} so far`));
    if (news) this.chart.draw();
    this.#drawPill();
    this.#drawEmpty();
  }

  #drawPill() {
    if (this.list.isAtTop && !this.#paused) this.#fresh = 0;
    this.pill.hidden = this.#fresh === 0;
    this.pill.textContent = `${count(this.#fresh)} new ↑`;
  }

  #drawEmpty() {
    this.empty.hidden = this.items.length > 0;
    if (this.empty.hidden) return;
    const filter = this.filter;
    const isFiltered = filter.tag.length > 0 || filter.where !== "";
    if (this.#state === "refused") put(this.empty, notice("quiet", "The filter cannot be read", "See above what is wrong with it."));
    else if (this.#state !== "live") put(this.empty, notice("quiet", this.state));
    else if (isFiltered) put(this.empty, notice("quiet", "No event fits yet", "They show here as they come.", h("p", "For earlier ones, look at ", h("a", { href: withQuery("#/history", { tag: this.tag.value.trim(), where: filter.where }) }, "History"), ".")));
    else put(this.empty, notice("quiet", "No events yet", "They show here as they come. To make one:", h("p", h("code", "sylvite publish myco/hello ok=True"))));
  }
}
