// A stream of events that goes on where it was after a cut: nothing is missed, nothing comes twice.
//
// Each line of `/v1/events/stream` as NDJSON is an event.  It is asked for with fetch rather than with an EventSource, which tells
// neither why a stream was refused nor lets a slow page slow it down.

import { HEADERS, Problem, read, send, withQuery } from "./api.js";

const SILENCE_MS = 40_000; // A heartbeat comes every 15 s.
const PAUSES_MS = [250, 500, 1000, 2000, 5000];
const HEAD = /^\{"offset":(\d+),"epoch":"([0-9a-f]{16})"/;

/** Return the id of an event in its line. */
export function idOf(line) {
  const found = HEAD.exec(line);
  return found ? `${found[2]}.${found[1]}` : null;
}

let [known, second] = ["", 0];
/** Return in which second, since 1970, the event in a line was taken. */
export function secondOf(line) {
  const at = line.indexOf('"stamp":"') + 9;
  const text = line.slice(at, at + 19);
  if (text !== known) [known, second] = [text, Date.parse(`${text}Z`) / 1000];
  return second;
}

export class EventStream {
  #aborter = new AbortController();
  #last = null;
  #began_ms = 0;
  #failures = 0;

  /**
   * `filter`: tag, match, exclude, where.  `since`: where to begin; `after`: behind which event.
   * `onLines`: gets lines, each an event.  `onGap`: gets what is missing.  `onState`: gets a state, and a problem:
   * connecting, live (and how far the other side's clock is before ours, in seconds), lost (it tries again), refused (it does not: the filter is wrong), over (log in again).
   */
  constructor({ filter, since, after, onLines, onGap, onState }) {
    Object.assign(this, { filter, since, onLines, onGap, onState });
    this.#last = after ?? null;
  }

  /** The id behind which it goes on. */
  get last() { return this.#last; }

  start() {
    this.#began_ms = performance.now();
    this.#run();
    return this;
  }

  stop() { this.#aborter.abort(); }

  async #run() {
    const { signal } = this.#aborter;
    while (!signal.aborted) {
      let problem;
      try {
        problem = await this.#once(signal);
      } catch (error) {
        if (signal.aborted) return;
        problem = error instanceof Problem ? error : new Problem(0, "cut", "The stream was cut.");
      }
      if (signal.aborted) return;
      if (problem.isOver) return this.onState("over", problem);
      if (problem.status >= 400 && problem.status < 500 && problem.status !== 429) return this.onState("refused", problem);
      const pause_ms = Math.max(PAUSES_MS[Math.min(this.#failures, PAUSES_MS.length - 1)], (problem.retry_s ?? 0) * 1000);
      this.#failures += 1;
      this.onState("lost", problem);
      await pause(pause_ms * (0.75 + Math.random() / 2), signal);
    }
  }

  #address() {
    // Before the first event there is no id: then from when it began, by the clock of the other side.
    const waited_s = Math.ceil((performance.now() - this.#began_ms) / 1000);
    const place = this.#last ? { after: this.#last } : { since: this.#failures ? behind(this.since, waited_s) : this.since };
    return withQuery("v1/events/stream", { ...this.filter, ...place });
  }

  /** Read one connection to its end; return the problem that ended it. */
  async #once(signal) {
    this.onState("connecting");
    const inner = new AbortController();
    const abort = () => inner.abort();
    signal.addEventListener("abort", abort);
    let timer = setTimeout(abort, SILENCE_MS);
    try {
      const answer = await send(this.#address(), { headers: { ...HEADERS, Accept: "application/x-ndjson" }, signal: inner.signal });
      const date_ms = Date.parse(answer.headers.get("Date"));
      this.onState("live", null, Number.isNaN(date_ms) ? 0 : Math.round((date_ms - Date.now()) / 1000));
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return new Problem(0, "cut", "The stream was cut.");
        clearTimeout(timer);
        timer = setTimeout(abort, SILENCE_MS);
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        const bye = this.#take(lines);
        if (bye) return bye;
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      inner.abort();
    }
  }

  #take(lines) {
    let events = [];
    let bye = null;
    const flush = () => {
      if (!events.length) return;
      this.#last = idOf(events.at(-1)) ?? this.#last;
      this.#failures = 0;
      this.onLines(events);
      events = [];
    };
    for (const line of lines) {
      if (line.startsWith('{"offset":')) events.push(line);
      else if (line !== "") {
        flush();
        const said = read(line);
        if (said.gap) this.onGap(said.gap);
        // What has to do with a token the next try tells.
        if (said.bye) bye = new Problem(0, "bye", said.bye.reason);
      }
    }
    flush();
    return bye;
  }
}

/** Return a beginning that is so much further back. */
function behind(since, seconds) {
  const found = /^(\d+)(s|m|h|d)$/.exec(since ?? "newest");
  if (found) return `${Number(found[1]) * { s: 1, m: 60, h: 3600, d: 86400 }[found[2]] + seconds}s`;
  return since && since !== "newest" ? since : `${seconds + 1}s`;
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
