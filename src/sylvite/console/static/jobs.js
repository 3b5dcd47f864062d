// Jobs: run one, and watch what comes back.

import { ask, can, get, withQuery } from "./api.js";
import { confirm, tell } from "./dialog.js";
import { field, h, notice, put, select } from "./dom.js";
import { facts, tree } from "./event.js";
import { ago, moment, plural } from "./format.js";
import { EventStream } from "./stream.js";
import { kept, table } from "./table.js";

const KINDS = [["glob", "name or pattern"], ["list", "list of names"], ["pcre", "regular expression"], ["grain", "grain"], ["grain_pcre", "grain, regular expression"], ["pillar", "pillar"], ["ipcidr", "address"], ["nodegroup", "node group"], ["compound", "compound"]];
const PAGE = 50;
const words = (value) => (Array.isArray(value) ? value.join(", ") : value);

export function jobs(root, parameters, { who, signal }) {
  const list = h("div");
  const more = h("button", { type: "button", hidden: true, onclick: () => { shown += PAGE; again(); } }, "Show more");
  let shown = PAGE;
  put(root, can(who, "jobs:run") && runForm(), can(who, "jobs:read") && [h("h2", "Jobs"), list, more]);
  if (!can(who, "jobs:read")) return;
  const again = kept(list, {
    fetch_: () => get(withQuery("v1/jobs", { limit: shown }), signal), signal,
    noMaster: "Jobs are run by minions, and there are minions where there is a master: sylvite master.",
    show: ({ items }) => {
      more.hidden = items.length < shown || shown >= 1000;
      if (!items.length) return notice("quiet", "No jobs yet", can(who, "jobs:run") ? "Run one above." : null);
      return table("Jobs, the newest first", ["Function", "Target", "By", "Started", "Returned", "Job"], items.map((job) => [
        h("strong", words(job.function)), words(job.target), job.user, h("span", { title: moment(job.started) }, ago(job.started)), progress(job.returned, job.minions, job.active),
        h("a", { href: withQuery("#/job", { jid: job.jid }) }, job.jid),
      ]));
    },
  });
}

function progress(returned, expected, isActive) {
  return h("span.progress", h("progress", { max: Math.max(expected, 1), value: returned, "aria-label": `${returned} of ${expected} have returned` }),
    ` ${returned} of ${expected}`, isActive && returned < expected ? h("span.hint", " waiting") : null);
}

/** An argument as it is written: JSON where it is that, else a text. */
export function argument(text) {
  try { return JSON.parse(text); } catch { return text; }
}

function runForm() {
  const target = h("input", { name: "target", value: "*", required: true, autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
  const kind = select(KINDS, "glob", { name: "kind" });
  const fun = h("input", { name: "function", placeholder: "test.ping", required: true, autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
  const given = h("textarea", { name: "arguments", rows: 2, spellcheck: "false" });
  const wrong = h("p.bad", { role: "alert", hidden: true });
  const run = h("button.primary", { type: "submit" }, "Run");
  return h("section.card", h("h2", "Run a job"), h("form.filter", { onsubmit: async (event) => {
    event.preventDefault();
    wrong.hidden = true;
    run.disabled = true;
    const text = target.value.trim();
    const body = {
      target: kind.value === "list" ? text.split(/[\s,]+/).filter(Boolean) : text, target_type: kind.value, function: fun.value.trim(),
      arguments: given.value.split("\n").filter((line) => line.trim()).map((line) => argument(line.trim())),
    };
    try {
      const started = await ask("POST", "v1/jobs", { body });
      if (started.minions.length) location.hash = withQuery("#/job", { jid: started.jid, minions: started.minions.length > 500 ? [] : started.minions });
      else throw new Error("No minion fits this target, so nothing was run.");
    } catch (problem) {
      if (problem.isOver) dispatchEvent(new Event("sylvite-over"));
      wrong.textContent = problem.message;
      wrong.hidden = false;
    }
    run.disabled = false;
  } }, field("Minions", target), field("which is a", kind), field("Function", fun), field("Arguments, one a line", given, "JSON, such as 12, [1, 2] or {\"a\": 1}; anything else is a text."), h("div.field.buttons", run)), wrong);
}

// -- One job -----------------------------------------------------------------------------------------------------------

export function job(root, parameters, { who, signal }) {
  const jid = parameters.get("jid") ?? "";
  const returns = new Map();
  let known = { expected: parameters.getAll("minions"), function: "", target: "", active: true };
  const head = h("div");
  const wrong = h("div");
  const list = h("div.returns");
  put(root, h("p.lead", h("a", { href: "#/jobs" }, "Jobs"), " / ", h("code", jid)), wrong, head, list);
  const began_ms = performance.now();

  const again = kept(wrong, {
    signal, every_ms: 2000,
    fetch_: async () => {
      if (!can(who, "jobs:read")) return null;
      try {
        return await get(`v1/jobs/${encodeURIComponent(jid)}`, signal);
      } catch (problem) {
        // It is kept a moment after it has begun.
        if (problem.status === 404 && performance.now() - began_ms < 10_000 && known.expected.length) return null;
        throw problem;
      }
    },
    show: (found) => {
      if (found) {
        known = found;
        for (const [id, each] of Object.entries(found.returns)) returns.set(id, each);
      }
      draw();
      return null;
    },
  });
  if (can(who, "events:read")) watch();
  draw();

  /** Show each return when its event comes; the store has it a little later. */
  function watch() {
    const stream = new EventStream({
      filter: { tag: [`salt/job/${jid}/ret/`] }, since: "30s",
      onLines(lines) {
        for (const line of lines) {
          const { data } = JSON.parse(line);
          if (!returns.has(data.id)) returns.set(data.id, { return: data.return, retcode: data.retcode ?? 0, success: data.success ?? !data.retcode });
        }
        draw();
      },
      onGap() {},
      onState(state) { if (state === "over") dispatchEvent(new Event("sylvite-over")); },
    }).start();
    signal.addEventListener("abort", () => stream.stop());
  }

  function draw() {
    const expected = known.expected ?? [];
    const missing = expected.filter((id) => !returns.has(id));
    const failed = [...returns.values()].filter((each) => each.success === false || each.retcode).length;
    put(head,
      facts([["Function", words(known.function)], ["Arguments", known.arguments?.length ? known.arguments.map((each) => JSON.stringify(each)).join("  ") : ""], ["Target", known.target ? `${words(known.target)} (${known.target_type})` : ""], ["By", known.user], ["Started", known.started ? `${moment(known.started)} · ${ago(known.started)}` : ""]]),
      h("p", { role: "status" }, progress(returns.size, Math.max(expected.length, returns.size), missing.length > 0), failed ? h("strong.bad", ` ${failed} failed`) : null),
      h("div.actions", can(who, "events:read") && h("a.button", { href: withQuery("#/timeline", { job: jid }) }, "Time line"),
        can(who, "jobs:run") && missing.length > 0 && h("button", { type: "button", onclick: end }, "End it")));
    const opened = new Set([...list.querySelectorAll("details[open]")].map((each) => each.dataset.id));
    const isSmall = returns.size <= 20;
    put(list, [...returns].sort(([one], [other]) => one.localeCompare(other)).map(([id, each]) => {
      const isBad = each.success === false || Boolean(each.retcode);
      return h("details.return", { "data-id": id, open: opened.has(id) || isSmall }, h("summary", h(`span.badge.${isBad ? "bad" : "good"}`, isBad ? `failed${each.retcode ? ` (${each.retcode})` : ""}` : "returned"), " ", h("strong", id), each.late ? h("span.hint", " late") : null),
        typeof each.return === "string" ? h("pre.json", { tabindex: 0, "aria-label": `Return of ${id}` }, each.return) : tree(each.return));
    }), missing.slice(0, 200).map((id) => h("p.return.waiting", h("span.badge", "waiting"), " ", id)), missing.length > 200 ? h("p.hint", `and ${plural(missing.length - 200, "minion")} more`) : null);
  }

  async function end() {
    const done = await confirm({
      title: "End this job?", action: "End it", isDangerous: true, body: h("p", "It is stopped on the minions that have not answered."),
      run: () => ask("DELETE", `v1/jobs/${encodeURIComponent(jid)}`),
    });
    if (done) tell("The minions were told to end it.");
    again();
  }
}
