// How times, amounts and data are written.

const two = (number) => String(number).padStart(2, "0");

/** 12:03:04.567 of a stamp (RFC 3339, UTC), in local time. */
export function clock(stamp, { millis = true } = {}) {
  const at = new Date(stamp);
  if (Number.isNaN(at.getTime())) return "";
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return millis ? `${time}.${String(at.getMilliseconds()).padStart(3, "0")}` : time;
}

/** 2026-11-29 12:03:04, in local time. */
export function moment(stamp) {
  const at = new Date(stamp);
  if (Number.isNaN(at.getTime())) return "";
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(stamp, { millis: false })}`;
}

export const momentOfNs = (ns) => (ns ? moment(ns / 1e6) : "");

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

/** A duration in one or two units: 3 min 12 s. */
export function duration(seconds) {
  const all = Math.max(0, seconds);
  if (all < 1) return `${Math.round(all * 1000)} ms`;
  if (all < 10 && !Number.isInteger(all)) return `${all.toFixed(1)} s`;
  const at = UNITS.findIndex(([size]) => all >= size);
  const [size, unit] = UNITS[at];
  const rest = UNITS[at + 1] ? Math.floor((all % size) / UNITS[at + 1][0]) : 0;
  return `${Math.floor(all / size)} ${unit}${rest ? ` ${rest} ${UNITS[at + 1][1]}` : ""}`;
}

/** 3 min ago; in 2 h. */
export function ago(stamp) {
  const seconds = (Date.now() - new Date(stamp).getTime()) / 1000;
  if (Number.isNaN(seconds)) return "";
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `${duration(Math.floor(seconds))} ago` : `in ${duration(Math.floor(-seconds))}`;
}

export const count = (number) => Number(number).toLocaleString("en-US");

/** One event, two events. */
export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

export function bytes(number) {
  if (number === null || number === undefined) return "";
  let [size, at] = [number, 0];
  while (size >= 1024 && at < 4) { size /= 1024; at += 1; }
  return `${at === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][at]}`;
}

const SAYS_NOTHING = new Set(["_stamp"]);

/** Data in one line: version=1.4.2 ok=true. */
export function summary(data, most = 240) {
  let text = "";
  for (const [name, value] of Object.entries(data ?? {})) {
    if (SAYS_NOTHING.has(name) || value === null || (typeof value === "string" && value.startsWith("-----BEGIN"))) continue;
    text += `${text ? "  " : ""}${name}=${typeof value === "object" ? JSON.stringify(value) : value}`;
    if (text.length > most) return `${text.slice(0, most)}…`;
  }
  return text;
}

/** A hue that the same word always has: a look, never a meaning. */
export function hue(word) {
  let sum = 7;
  for (const letter of word) sum = (sum * 31 + letter.codePointAt(0)) % 3600;
  return sum / 10;
}
