// Minions: who is here, since when, and what it is.

import { can, get, withQuery } from "./api.js";
import { h, notice, put } from "./dom.js";
import { tree } from "./event.js";
import { ago, moment, plural } from "./format.js";
import { kept, table } from "./table.js";

export function minions(root, parameters, { who, signal }) {
  const chosen = parameters.get("id");
  if (chosen) return one(root, chosen, { who, signal });
  const filter = h("input", { type: "search", placeholder: "web", autocomplete: "off", id: "minion-filter", oninput: () => draw() });
  const body = h("div");
  let found = [];
  put(root, h("div.filter", h("div.field", h("label", { for: "minion-filter" }, "Name"), filter)), body);
  const list = h("div");
  kept(body, {
    fetch_: () => get("v1/minions", signal), signal, every_ms: 2000, noMaster: "There are minions where there is a master: sylvite master.",
    show: ({ items }) => { found = items; draw(); return list; },
  });

  function draw() {
    const shown = found.filter((each) => each.id.includes(filter.value.trim()));
    const here = found.filter((each) => each.present).length;
    if (!found.length) put(list, notice("quiet", "No minions yet", "One that was let in shows here when it first connects."));
    else {
      put(list, h("p.hint", `${plural(here, "minion")} here, ${found.length - here} away`), table("Minions", ["Minion", "Is", "Since", "From", ""], shown.map((each) => [
        h("strong", each.id), h(`span.badge.${each.present ? "here" : "away"}`, each.present ? "here" : "away"),
        each.since ? h("span", { title: moment(each.since) }, `${ago(each.since)}${each.present || !each.reason ? "" : `: ${each.reason}`}`) : "has not been here",
        each.address, h("div.actions", h("a.button", { href: withQuery("#/minions", { id: each.id }), "aria-label": `Grains of ${each.id}` }, "Grains"),
          can(who, "events:read") && h("a.button", { href: withQuery("#/timeline", { minion: each.id }), "aria-label": `Time line of ${each.id}` }, "Time line")),
      ])));
    }
  }
}

function one(root, id, { who, signal }) {
  kept(root, {
    fetch_: () => get(`v1/minions/${encodeURIComponent(id)}`, signal), signal, every_ms: 10_000,
    show: (minion) => [
      h("p.lead", h("a", { href: "#/minions" }, "Minions"), " / ", h("strong", id), " ", h(`span.badge.${minion.present ? "here" : "away"}`, minion.present ? "here" : "away")),
      h("p.hint", minion.since ? `${minion.present ? "since" : "last here"} ${moment(minion.since)} ${minion.address}` : "It has not been here."),
      can(who, "events:read") && h("p", h("a.button", { href: withQuery("#/timeline", { minion: id }) }, "Time line")),
      h("h2", "Grains"), minion.grains ? tree(minion.grains) : h("p.hint", "None are known."),
    ],
  });
}
