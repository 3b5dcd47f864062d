// Tokens: who may use the bus over HTTP, and for what.

import { ask, get } from "./api.js";
import { confirm, tell } from "./dialog.js";
import { copy, field, freshId, h, put, select } from "./dom.js";
import { ago, momentOfNs } from "./format.js";
import { kept, table } from "./table.js";

const LIVES = [["3600", "1 hour"], ["43200", "12 hours"], ["604800", "7 days"], ["2592000", "30 days"], ["31536000", "1 year"]];
const BACKENDS = { console: "a session of the console", link: "a link into the console", local: "command line", token: "made with a token" };

export function tokens(root, parameters, { who, signal }) {
  const list = h("div");
  put(root, form(who, () => again()), h("h2", "Tokens that count"), list);
  const again = kept(list, {
    fetch_: () => get("v1/tokens", signal), signal,
    show: ({ items }) => table("Tokens", ["Owner", "Scopes", "Until", "Last used", "For", ""], items.map((token) => [
      h("strong", token.owner), h("ul.scopes", token.scopes.map((scope) => h("li", h("code", scope)))), momentOfNs(token.until_ns), token.used_ns ? ago(token.used_ns / 1e6) : "never",
      [token.note || (BACKENDS[token.backend] ?? token.backend), token.id === who.id ? h("span.hint", " (this session)") : null],
      h("button", { type: "button", "aria-label": `Revoke ${token.id} of ${token.owner}`, "data-focus": token.id, onclick: () => revoke(token) }, "Revoke"),
    ])),
  });

  async function revoke(token) {
    const done = await confirm({
      title: `Revoke the token of ${token.owner}?`, action: "Revoke it", isDangerous: true,
      body: h("p", token.id === who.id ? "It is this session's own: you are logged out." : "It counts no more, at once, and the streams and sessions that were opened with it end."),
      run: () => ask("DELETE", `v1/tokens/${encodeURIComponent(token.id)}`),
    });
    if (done) tell("It is revoked.");
    again();
  }
}

function form(who, made) {
  const owner = h("input", { value: "", required: true, autocomplete: "off", spellcheck: "false", pattern: "[!-~]+", placeholder: "wall" });
  const note = h("input", { maxlength: 200, autocomplete: "off", placeholder: "the screen on the wall" });
  const life = select(LIVES, "43200");
  const wrong = h("p.bad", { role: "alert", hidden: true });
  const rows = who.scopes.map((scope) => {
    const [verb, pattern] = /^([a-z]+:[a-z]+)(?::(.*))?$/.exec(scope)?.slice(1) ?? [scope];
    const id = freshId("scope");
    return {
      verb, box: h("input", { type: "checkbox", id, checked: false }), pattern: pattern === undefined ? null : h("input", { value: pattern, "aria-label": `Pattern of ${verb}`, spellcheck: "false", autocomplete: "off" }), id,
    };
  });
  return h("section.card", h("h2", "Make a token"), h("form", { onsubmit: async (event) => {
    event.preventDefault();
    wrong.hidden = true;
    const scopes = rows.filter((row) => row.box.checked).map((row) => (row.pattern ? `${row.verb}:${row.pattern.value.trim()}` : row.verb));
    try {
      if (!scopes.length) throw new Error("Say what it is for: choose at least one scope.");
      const token = await ask("POST", "v1/tokens", { body: { owner: owner.value.trim(), scopes, expires_s: Number(life.value), note: note.value.trim() } });
      showOnce(token);
      made();
    } catch (problem) {
      if (problem.isOver) dispatchEvent(new Event("sylvite-over"));
      wrong.textContent = problem.message;
      wrong.hidden = false;
    }
  } }, h("div.filter", field("Owner", owner, "Whose events they are that are published with it."), field("Counts for", life), field("What for", note)),
  h("fieldset", h("legend", "What it may do"), h("p.hint", "No more than this session may: * is a segment, ** all that comes."),
    h("div.scope-rows", rows.map((row) => h("div.scope-row", row.box, h("label", { for: row.id }, h("code", row.verb)), row.pattern)))),
  wrong, h("div.actions", h("button.primary", { type: "submit" }, "Make it"))));
}

function showOnce(token) {
  const text = h("textarea.secret", { rows: 3, readonly: true, "aria-label": "The token", spellcheck: "false" }, token.token);
  const dialog = h("dialog", { "aria-labelledby": "token-title", onclose: () => dialog.remove() }, h("h2", { id: "token-title" }, `The token of ${token.owner}`),
    h("p", "It is shown this once. Keep it where only its holder can read it."), text,
    h("form.actions", { method: "dialog" }, h("button.primary", { type: "button", onclick: (event) => copy(event.target, token.token) }, "Copy"), h("button", { type: "submit" }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
  text.select();
}

