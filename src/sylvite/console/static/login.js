// The way in: with a token, or with a link from the command line.

import { ask } from "./api.js";
import { field, h, notice, put } from "./dom.js";

export function login(root, parameters, { entered, reason }) {
  const token = h("input", { type: "password", name: "token", autocomplete: "off", required: true, spellcheck: "false", placeholder: "syl1_…" });
  const wrong = h("p.bad", { role: "alert", hidden: true });
  const go = h("button.primary", { type: "submit" }, "Log in");
  put(root, h("main.login", { id: "main", tabindex: -1 },
    h("h1", h("img", { src: "console/icon.svg", alt: "", width: 28, height: 28 }), " Sylvite"),
    parameters.get("link") ? notice("error", "This link does not count any more", "It was used, or its time is over. Make another one, or log in with a token.") : null,
    reason ? notice("quiet", reason) : null,
    h("form", { onsubmit: async (event) => {
      event.preventDefault();
      wrong.hidden = true;
      go.disabled = true;
      try {
        await ask("POST", "console/session", { body: { token: token.value } });
        token.value = "";
        await entered();
      } catch (problem) {
        wrong.textContent = problem.status === 401 ? "This token does not count: it is none, was revoked, or its time is over." : problem.message;
        wrong.hidden = false;
        go.disabled = false;
        token.focus();
      }
    } }, field("Token", token), wrong, h("div.actions", go)),
    h("p.hint", "No token? On the machine of the bus, ", h("code", "sylvite console"), " prints a link that logs you in, and ", h("code", "sylvite tokens create"), " makes a token.")));
  token.focus();
}
