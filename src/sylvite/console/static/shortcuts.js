// Keys for those who do not want to reach for the mouse: only while nothing is being written, and only if they are wanted.

import { h } from "./dom.js";

const NAME = "sylvite-shortcuts";
const KEYS = [
  ["/", "write a filter"], ["space", "pause, go on"], ["j, k", "next event, the one before"], ["t", "to the newest"], ["Esc", "close an event"], ["?", "this help"],
];

export function areOn() {
  try { return localStorage.getItem(NAME) !== "off"; } catch { return true; }
}

/** Call what belongs to a key, until the signal. */
export function shortcuts(signal, calls) {
  document.addEventListener("keydown", (event) => {
    if (!areOn() || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, textarea, select, button, a, [contenteditable], summary") && event.key !== "Escape") return;
    const call = calls[event.key];
    if (!call) return;
    event.preventDefault();
    call();
  }, { signal });
}

export function showHelp() {
  const box = h("input", { type: "checkbox", checked: areOn(), id: "shortcuts-on", onchange: () => {
    try { localStorage.setItem(NAME, box.checked ? "on" : "off"); } catch { /* It counts until the page is left. */ }
  } });
  const dialog = h("dialog", { "aria-labelledby": "help-title", onclose: () => dialog.remove() },
    h("h2", { id: "help-title" }, "Shortcuts"),
    h("dl.facts", KEYS.map(([key, what]) => h("div", h("dt", h("kbd", key)), h("dd", what)))),
    h("p", box, " ", h("label", { for: "shortcuts-on" }, "Shortcuts are on")),
    h("form", { method: "dialog" }, h("button.primary", { type: "submit" }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}
