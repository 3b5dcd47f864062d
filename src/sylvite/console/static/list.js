// A long list of which only what is seen is made: a listbox that is walked with arrows.

import { freshId, h, put } from "./dom.js";

const ROW_PX = 28;
const BEYOND = 6;

export class LongList {
  #rows = new Map();
  #selected = null;
  #id = freshId("list");
  #spacer = h("div.list-space", { role: "presentation" });

  /** `count`: how many; `at`: the one at an index; `key`: what tells it from others; `row`: what a row shows. */
  constructor({ label, count, at, key, row, onSelect, onScroll }) {
    Object.assign(this, { count, at, key, row, onSelect });
    this.element = h("div.list", {
      role: "listbox", tabindex: 0, "aria-label": label, id: this.#id, hidden: true,
      onkeydown: (event) => this.#keyDown(event),
      onscroll: () => { this.#draw(); onScroll?.(); },
    }, this.#spacer);
    this.#spacer.addEventListener("click", (event) => {
      const row = event.target.closest("[data-index]");
      if (row) this.select(Number(row.dataset.index));
    });
    new ResizeObserver(() => this.#draw()).observe(this.element);
  }

  get isAtTop() { return this.element.scrollTop < ROW_PX; }

  toTop() { this.element.scrollTop = 0; }

  /** Show what there is now.  `added`: how many of them are new at the top: who reads further down stays where he is. */
  refresh(added = 0) {
    const total = this.count();
    this.element.hidden = total === 0;
    const isReading = !this.isAtTop;
    this.#spacer.style.setProperty("height", `${total * ROW_PX}px`);
    if (added && isReading) this.element.scrollTop += added * ROW_PX;
    this.#draw();
  }

  /** Forget the rows that were made: they show something else now. */
  redraw() {
    this.#rows.clear();
    put(this.#spacer);
    this.refresh();
  }

  clearSelection() {
    this.#selected = null;
    this.element.removeAttribute("aria-activedescendant");
    this.#draw();
  }

  select(index) {
    if (index < 0 || index >= this.count()) return;
    const item = this.at(index);
    this.#selected = this.key(item);
    this.#reveal(index);
    this.#draw();
    this.onSelect(item);
  }

  /** Go on by some rows from the one that is selected. */
  step(by) {
    const index = this.#indexOfSelected();
    this.select(index === -1 ? 0 : Math.min(Math.max(index + by, 0), this.count() - 1));
  }

  #indexOfSelected() {
    if (this.#selected === null) return -1;
    for (let index = 0; index < this.count(); index += 1) if (this.key(this.at(index)) === this.#selected) return index;
    return -1;
  }

  #reveal(index) {
    const [top, height] = [index * ROW_PX, this.element.clientHeight];
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top + ROW_PX > this.element.scrollTop + height) this.element.scrollTop = top + ROW_PX - height;
  }

  #keyDown(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW_PX) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const by = steps[event.key];
    if (by === undefined) return;
    event.preventDefault();
    if (Number.isFinite(by)) this.step(by);
    else this.select(by < 0 ? 0 : this.count() - 1);
  }

  #draw() {
    const total = this.count();
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW_PX) - BEYOND);
    const last = Math.min(total, Math.ceil((this.element.scrollTop + this.element.clientHeight) / ROW_PX) + BEYOND);
    const seen = new Map();
    for (let index = first; index < last; index += 1) {
      const item = this.at(index);
      const key = this.key(item);
      const row = this.#rows.get(key) ?? h("div.row", { role: "option", id: `${this.#id}-${key}` }, this.row(item).map((cell) => [cell, " "]));
      row.dataset.index = index;
      row.style.setProperty("transform", `translateY(${index * ROW_PX}px)`);
      row.setAttribute("aria-posinset", index + 1);
      row.setAttribute("aria-setsize", total);
      row.setAttribute("aria-selected", key === this.#selected);
      if (item.class) row.classList.add(item.class);
      seen.set(key, row);
    }
    const isSame = seen.size === this.#rows.size && [...seen.keys()].every((key) => this.#rows.has(key));
    this.#rows = seen;
    if (!isSame) put(this.#spacer, [...seen.values()]);
    if (seen.has(this.#selected)) this.element.setAttribute("aria-activedescendant", `${this.#id}-${this.#selected}`);
    else this.element.removeAttribute("aria-activedescendant");
  }
}
