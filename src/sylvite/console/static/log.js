// The log, and who reads it.

import { get } from "./api.js";
import { h, notice } from "./dom.js";
import { facts } from "./event.js";
import { ago, bytes, count, duration, moment, plural } from "./format.js";
import { kept, table } from "./table.js";

export function log(root, parameters, { signal }) {
  kept(root, {
    fetch_: () => get("v1/log", signal), signal,
    show: (found) => [
      h("div.cards",
        card("Events", count(found.next - found.first), `@${found.first} to @${Math.max(found.next - 1, found.first)}`),
        card("Size", bytes(found.bytes), plural(found.segments, "segment")),
        card("Not yet on disk", count(Math.max(0, found.next - found.synced)), "events that a power cut would take"),
        card("Free on the disk", bytes(found.free_bytes), `${bytes(found.keep_free_bytes)} are left to others`)),
      h("h2", "Retention"),
      h("p", kept_(found)),
      found.keep_bytes ? h("p", h("meter", { min: 0, max: found.keep_bytes, value: Math.min(found.bytes, found.keep_bytes), "aria-label": "Size of the log, of what is kept" }), ` ${bytes(found.bytes)} of ${bytes(found.keep_bytes)}`) : null,
      h("h2", "Health"),
      found.damaged.length ? notice("error", `${plural(found.damaged.length, "part")} of the log cannot be read`, table("Damaged", ["Segment", "From", "Up to"], found.damaged.map((each) => [each.segment, `@${each.first}`, `@${each.next - 1}`])))
        : h("p", "No damage is known."),
      facts([["Checked", found.scrub.finished ? `${moment(found.scrub.finished)} · ${ago(found.scrub.finished)}` : "not yet"], ["Every", found.scrub.every_s ? duration(found.scrub.every_s) : "never"], ["Epoch", found.epoch]]),
    ],
  });
}

function kept_(found) {
  const limits = [found.keep_s === null ? null : `events of the last ${duration(found.keep_s)}`, found.keep_bytes === null ? null : `up to ${bytes(found.keep_bytes)}`].filter(Boolean);
  return limits.length ? `Kept are ${limits.join(", ")}.` : "Everything is kept, as long as there is room on the disk.";
}

function card(name, figure, more) {
  return h("section.card.figure-card", h("h2", name), h("p.figure", figure), h("p.hint", more));
}

export function consumers(root, parameters, { signal }) {
  kept(root, {
    fetch_: () => get("v1/consumers", signal), signal, every_ms: 2000,
    show: ({ items }) => {
      const cursors = items.filter((each) => each.kind === "cursor");
      const subscriptions = items.filter((each) => each.kind === "subscription");
      return [
        h("h2", "Durable cursors"), h("p.hint", "They keep their place while nobody is connected."),
        cursors.length ? table("Durable cursors", ["Name", "Owner", "Behind", "Next", "Missed", "In use", "Moved"], cursors.map((each) => [
          h("strong", each.name), each.owner, lag(each.behind), `@${each.offset}`, each.missed ? h("span.bad", count(each.missed)) : "0", each.in_use ? "yes" : "no", h("span", { title: moment(each.moved) }, ago(each.moved)),
        ])) : notice("quiet", "No durable cursors"),
        h("h2", "Live subscriptions"), h("p.hint", "They are there while somebody is connected."),
        subscriptions.length ? table("Live subscriptions", ["Client", "By", "Behind", "Reads"], subscriptions.map((each) => [
          h("strong", each.name), each.owner, lag(each.behind), `${each.live ? "live" : "from the log"}${each.cursor ? `, cursor ${each.cursor}` : ""}`,
        ])) : notice("quiet", "Nobody subscribes"),
      ];
    },
  });
}

function lag(behind) {
  return behind ? h("span.behind", plural(behind, "event")) : h("span.hint", "none");
}
