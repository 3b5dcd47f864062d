// Questions to the interface that has served this page; `/v1` in docs/http.md.

export const HEADERS = { "X-Sylvite-Console": "1" };

/** What went wrong.  `status`: of the answer; 0: there was none. */
export class Problem extends Error {
  constructor(status, code, detail, retry_s = null) {
    super(detail);
    Object.assign(this, { status, code, retry_s });
  }

  get isOver() { return this.status === 401; }
}

/** Ask, and return what the JSON of the answer says; null for one without.  `parse`: how it is read. */
export async function ask(method, path, { body, signal, parse = JSON.parse } = {}) {
  const headers = body === undefined ? HEADERS : { ...HEADERS, "Content-Type": "application/json" };
  const answer = await send(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
  return answer.status === 204 ? null : parse(await answer.text());
}

export const get = (path, signal) => ask("GET", path, { signal });

/** As `get`, for events: their data is shown as it is. */
export const getEvents = (path, signal) => ask("GET", path, { signal, parse: read });

/** Send a request; return its answer, or throw the problem that it tells of. */
export async function send(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, credentials: "same-origin", cache: "no-store", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "no_answer", "The interface does not answer. It may be stopped, or the network is down.");
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

async function problemOf(answer) {
  const retry_s = Number(answer.headers.get("Retry-After")) || null;
  try {
    const said = await answer.json();
    return new Problem(answer.status, said.code, said.detail, retry_s);
  } catch {
    return new Problem(answer.status, "unknown", `The interface answers with ${answer.status}.`, retry_s);
  }
}

/** Read events; whole numbers that a browser's cannot hold stay as they are written: they can be shown, not counted with. */
export function read(text) {
  return JSON.parse(text, (key, value, context) => {
    const isTooBig = typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
    return isTooBig && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
  });
}

/** Return a path with a query; what is empty is left out, and a list stands there several times. */
export function withQuery(path, query) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") found.append(name, each);
    }
  }
  const text = found.toString();
  return text ? `${path}?${text}` : path;
}

/** Say whether somebody's scopes have a verb, whatever pattern stands behind it. */
export const can = (who, verb) => who.scopes.some((scope) => scope === verb || scope.startsWith(`${verb}:`));

/** Call something again and again while the page is looked at; it is told to stop by the signal. */
export function poll(call, every_ms, signal) {
  let timer = 0;
  const run = async () => {
    clearTimeout(timer);
    if (signal.aborted) return;
    if (!document.hidden) await call();
    if (!signal.aborted) timer = setTimeout(run, every_ms);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) run(); }, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  run();
  return run;
}
