/** One record per sketch: sends it, follows it until it is settled, and dispatches an event at each change. */

import { failureOf, Problem } from "./api.js";
import { base64Of } from "./pictures.js";
import { watch } from "./watch.js";

export const isPending = ({ state }) => ["sending", "queued", "running"].includes(state);

/** A sketch under way, sent with mode "now" or "later": the PNG, its strokes if it has only those, hints, variant. */
export function newRecord({ mode, original, svg, strokes, hints }, variant = 0) {
  const id = crypto.randomUUID();
  return { id, mode, original, svg, strokes, hints, variant, startedAt: Date.now(), state: "sending" };
}

export class Jobs extends EventTarget {
  #aborts = new Map();

  /** `apiNow` gives the endpoint as the settings have it at that moment. */
  constructor(apiNow) {
    super();
    this.apiNow = apiNow;
  }

  #set(record, changes) {
    Object.assign(record, changes);
    this.dispatchEvent(new CustomEvent("change", { detail: record }));
  }

  /** Runs a new, failed or interrupted record to its end. Never throws: what went wrong is in the record. */
  async run(record) {
    const abort = new AbortController();
    this.#aborts.set(record.id, abort);
    const fresh = record.requestId ? {} : { startedAt: Date.now() };
    this.#set(record, { state: record.requestId ? "queued" : "sending", problem: null, etaMs: null, ...fresh });
    try {
      const api = this.apiNow();
      const result = (await this.#submit(api, record, abort.signal)) ?? (await this.#follow(api, record, abort.signal));
      const { imageUrl, ...facts } = result;
      const drawing = await api.picture(imageUrl, abort.signal);
      this.#set(record, { ...facts, drawing, state: "done", tookMs: Date.now() - record.startedAt });
    } catch (error) {
      if (!abort.signal.aborted) this.#set(record, { state: "error", problem: plain(error) });
    } finally {
      this.#aborts.delete(record.id);
    }
  }

  stop(record) {
    this.#aborts.get(record.id)?.abort();
  }

  /** The result if it is there at once; nothing when the record now has a request id to follow. */
  async #submit(api, record, signal) {
    if (record.requestId) return null;
    const { hints, svg, variant, mode } = record;
    const input = { pngBase64: await base64Of(record.original), svg, hints: hints || null, variant };
    if (mode === "later") Object.assign(input, { async: true, idempotencyKey: record.id });
    else this.#set(record, { state: "running" });
    const { result, requestId } = await api.improve(input, signal);
    if (!result) this.#set(record, { requestId, state: "queued" });
    return result;
  }

  async #follow(api, record, signal) {
    for await (const state of watch(api, record.requestId, signal)) {
      const { status, attempt, maxAttempts, retryAt, etaMs } = state;
      if (status === "done") return api.drawing(record.requestId, signal);
      if (status === "error" || status === "not_found") {
        record.requestId = null;
        throw failureOf(state, state.error ?? "The endpoint no longer knows this sketch.");
      }
      this.#set(record, { state: status, attempt, maxAttempts, retryAt, etaMs, heardAt: Date.now() });
    }
  }
}

/** An error in a form that can be stored. Anything but a `Problem` is a fault of this page, and logged. */
function plain(error) {
  const known = error instanceof Problem;
  if (!known) console.error(error);
  const { message, retryable, retryAfterSeconds } = known ? error : { message: "This page made a mistake.", retryable: true };
  return { message, retryable, retryAfterSeconds, failedAt: Date.now() };
}
