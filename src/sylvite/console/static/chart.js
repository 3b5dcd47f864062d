// Events per second, as bars.

import { h } from "./dom.js";
import { count } from "./format.js";

export const SECONDS = 120;

/** How many there were in each of the last seconds, by the clock of the broker. */
export class Rates {
  #counts = new Array(SECONDS).fill(0);
  #ahead_s = 0;
  #now = Math.floor(Date.now() / 1000);

  /** `ahead_s`: how far the clock of the other side is before ours. */
  set ahead_s(seconds) { this.#ahead_s = seconds; }

  /** Count one event of a second (since 1970). */
  add(second) {
    // One from the future is one of a clock that is a little ahead of what we know.
    if (second > this.#now) this.#turn(Math.min(second, this.#now + SECONDS));
    if (second > this.#now - SECONDS) this.#counts[Math.min(second, this.#now) % SECONDS] += 1;
  }

  #turn(now = Math.floor(Date.now() / 1000 + this.#ahead_s)) {
    if (now <= this.#now) return;
    for (let at = Math.max(this.#now + 1, now - SECONDS + 1); at <= now; at += 1) this.#counts[at % SECONDS] = 0;
    this.#now = now;
  }

  /** The counts, the oldest first; the last one is of the second that is not over. */
  get all() {
    this.#turn();
    return Array.from({ length: SECONDS }, (_, index) => this.#counts[(this.#now + 1 + index) % SECONDS]);
  }
}

export class RateChart {
  #canvas = h("canvas", { "aria-hidden": "true" });
  #now = h("strong.figure", "0");
  #most = h("span.hint", "highest 0");

  constructor(rates, signal) {
    this.rates = rates;
    this.element = h("figure.rates",
      h("figcaption", this.#now, h("span.hint", " events/s, last 2 min"), this.#most), this.#canvas);
    const timer = setInterval(() => this.draw(), 1000);
    signal.addEventListener("abort", () => clearInterval(timer));
    addEventListener("sylvite-theme", () => this.draw(), { signal });
    new ResizeObserver(() => this.draw()).observe(this.#canvas);
  }

  draw() {
    const counts = this.rates.all.slice(0, -1);
    const most = Math.max(...counts, 1);
    this.#now.textContent = count(counts.at(-1));
    this.#most.textContent = `highest ${count(Math.max(...counts))}`;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(width * scale)) this.#canvas.width = Math.round(width * scale);
    if (this.#canvas.height !== Math.round(height * scale)) this.#canvas.height = Math.round(height * scale);
    const pen = this.#canvas.getContext("2d");
    if (!pen || !width) return;
    const style = getComputedStyle(this.#canvas);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = style.getPropertyValue("--line");
    pen.fillRect(0, height - 1, width, 1);
    pen.fillStyle = style.getPropertyValue("--accent");
    const step = width / counts.length;
    counts.forEach((number, index) => {
      const tall = number ? Math.max(2, (number / most) * (height - 3)) : 0;
      pen.fillRect(index * step, height - 1 - tall, Math.max(1, step - 1), tall);
    });
  }
}
