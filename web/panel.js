/** The right-hand side: one record as it waits, fails or is done. */

import { Compare } from "./compare.js";
import { isPending } from "./jobs.js";

const $ = (id) => document.getElementById(id);
const TICK_MS = 200;

export class Panel {
  #shown = null;
  #timer = null;

  constructor() {
    this.compare = new Compare($("compare"));
  }

  get shown() {
    return this.#shown;
  }

  show(record) {
    const { dataset } = $("panel");
    const state = !record ? "empty" : isPending(record) ? "working" : record.state;
    const changed = record !== this.#shown || dataset.state !== state;
    this.#shown = record;
    if (state !== "working" && document.activeElement === $("stop")) $("panel-title").focus({ preventScroll: true });
    dataset.state = state;
    clearInterval(this.#timer);
    if (record && changed) this.#enter(record);
    if (record && state !== "done") this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
    this.#tell(record);
  }

  /** What a screen reader says: states, not seconds. */
  #tell(record) {
    const text = !record ? "" : isPending(record) ? doing(record) : (record.problem?.message ?? `Done: ${record.title}`);
    if (text !== $("live").textContent) $("live").textContent = text;
  }

  #enter(record) {
    this.compare.show(record.original, record.drawing, record.title);
    $("stop").hidden = record.mode !== "now";
    if (record.state === "done") this.#facts(record);
    if (record.state === "error") $("sorry").textContent = record.problem.message;
  }

  #facts(record) {
    $("title").textContent = record.title;
    $("notes").textContent = record.notes;
    $("origin").textContent = origin(record);
    $("palette").replaceChildren(...record.palette.map(swatch));
    const link = $("download");
    URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(record.drawing);
    link.download = `${fileName(record.title)}.png`;
  }

  #tick() {
    const record = this.#shown;
    if (record && isPending(record)) this.#wait(record);
    if (record?.state === "error") this.#cool(record);
  }

  /** Fills the bar if the endpoint has estimated the time; else shows the time that has passed, and no guess. */
  #wait(record) {
    const { startedAt, heardAt, etaMs, retryAt } = record;
    const now = Date.now();
    const wait_s = Math.ceil((Date.parse(retryAt) - now) / 1000);
    $("doing").textContent = wait_s > 1 ? `Waiting: next attempt in ${wait_s} s` : doing(record);
    const passed = `${Math.floor((now - startedAt) / 1000)} s`;
    if (etaMs == null) {
      $("elapsed").textContent = passed;
      return $("bar").removeAttribute("value");
    }
    const left_s = Math.ceil((heardAt + etaMs - now) / 1000);
    $("elapsed").textContent = left_s > 0 ? `${passed} · about ${left_s} s left` : `${passed} · longer than usual`;
    $("bar").value = Math.min((now - startedAt) / (heardAt + etaMs - startedAt), 0.97);
  }

  /** A job whose request id is known can be followed again, whatever stopped that. */
  #cool({ requestId, problem: { retryable, retryAfterSeconds, failedAt } }) {
    const left_s = Math.ceil((failedAt + (retryAfterSeconds ?? 0) * 1000 - Date.now()) / 1000);
    const retry = $("retry");
    retry.hidden = !retryable && !requestId;
    retry.setAttribute("aria-disabled", left_s > 0);
    retry.textContent = left_s > 0 ? `Try again in ${left_s} s` : "Try again";
  }
}

/** Without the seconds of a wait: not everything that shows this counts them down. */
export function doing({ state, attempt, maxAttempts }) {
  if (state === "sending") return "Sending the sketch";
  if (state === "running") return attempt > 1 ? `Drawing, attempt ${attempt} of ${maxAttempts}` : "Drawing";
  return attempt ? "Waiting for the next attempt" : "Waiting in line";
}

const duration = (span_ms) => (span_ms < 950 ? `${span_ms} ms` : `${(span_ms / 1000).toFixed(span_ms < 9950 ? 1 : 0)} s`);

const SOURCES = {
  MISS: "Newly drawn",
  HIT: "Seen before: taken from the cache",
  ARCHIVE: "Taken from the archive",
  COALESCED: "Shared with the same sketch, sent at the same time",
};

function origin({ provenance, tookMs, variant }) {
  const source = SOURCES[provenance.cache] ?? "Drawn";
  return `${source} · ${duration(tookMs)} · ${provenance.model}${variant ? ` · variant ${variant}` : ""}`;
}

/** The colour is set through the style object, which accepts only colours; its name is text. */
function swatch(colour) {
  const item = document.createElement("li");
  const patch = document.createElement("i");
  patch.style.backgroundColor = colour;
  item.append(patch, colour);
  return item;
}

const fileName = (title) => title.toLowerCase().match(/[\p{L}\p{N}]+/gu)?.join("-").slice(0, 60) ?? "drawing";
