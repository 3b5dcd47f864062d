// Tables of what the interface lists, fetched again and again.

import { poll } from "./api.js";
import { h, notice, put } from "./dom.js";

/** A table.  `columns`: names.  `rows`: lists of cells; a cell may be a text or an element. */
export function table(label, columns, rows) {
  return h("div.table-box", { tabindex: 0, role: "region", "aria-label": label }, h("table",
    h("caption.hidden", label),
    h("thead", h("tr", columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", rows.map((cells) => h("tr", cells.map((cell, index) => h("td", { "data-name": columns[index] }, cell)))))));
}

function isMarking() {
  const selection = getSelection();
  return selection !== null && !selection.isCollapsed && document.activeElement?.matches("input, textarea") !== true;
}

/** Show what `fetch_` gives by means of `show`, now and every few seconds; what goes wrong is said above it, and what was there stays. */
export function kept(root, { fetch_, show, every_ms = 4000, signal, noMaster }) {
  const wrong = h("div");
  const body = h("div.page-body", h("p.hint", "Looking…"));
  put(root, wrong, body);
  let shown = null;
  const again = async () => {
    try {
      const found = await fetch_();
      put(wrong);
      // Once in a while also what is the same: how long ago it was is not.  Never under somebody who marks a text.
      const text = `${Math.floor(Date.now() / 10_000)} ${JSON.stringify(found)}`;
      if (text === shown || isMarking()) return;
      shown = text;
      const focused = document.activeElement?.dataset?.focus;
      put(body, show(found));
      if (focused) body.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
    } catch (problem) {
      if (signal.aborted) return;
      if (problem.isOver) dispatchEvent(new Event("sylvite-over"));
      const isAlone = noMaster && problem.status === 404;
      if (isAlone && shown === null) put(body, notice("quiet", "This bus has no master", noMaster));
      else put(wrong, notice("error", problem.message ?? String(problem), shown === null ? null : "What is shown is as it was before."));
      if (shown === null && !isAlone) put(body);
    }
  };
  return poll(again, every_ms, signal);
}
