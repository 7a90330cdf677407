/** The endpoint: sends one GraphQL request, and turns everything that can go wrong into a `Problem`. */

export const PROBLEM = "problem { code message retryable retryAfterSeconds }";
const DRAWING = "result { imageUrl title palette notes provenance { cache model } }";
const IMPROVE = `mutation Improve($input: ImproveSketchInput!) {
  improveSketch(input: $input) { requestId errors ${PROBLEM} ${DRAWING} } }`;
const DRAWING_OF = `query Drawing($id: String!) {
  improveSketchStatus(requestId: $id) { error ${PROBLEM} ${DRAWING} } }`;

/**
 * What the user is told, and whether a retry can help. `refused`: the endpoint's schema lacks what was asked for.
 * `lasting`: it helps only once the user has changed something, so the page does not try again by itself.
 */
export class Problem extends Error {
  constructor({ message, code, retryable = false, retryAfterSeconds = null, refused = false, lasting = false }) {
    super(message);
    Object.assign(this, { code, retryable, retryAfterSeconds, refused, lasting });
  }
}

const SENTENCES = {
  401: "The endpoint wants a valid API key. Settings has a place for it.",
  403: "The endpoint does not accept this API key.",
  404: "There is no endpoint at this address. Settings has it.",
  413: "The sketch is larger than the endpoint accepts.",
};
/** How long may take: what is only read, an upload or a picture, and a drawing, which is given up after 150 s. */
const QUICK_MS = 15_000;
const TRANSFER_MS = 30_000;
const DRAWING_MS = 180_000;
const BROKEN = "The connection broke before the whole answer was here.";
const NOT_IT = "What answers at this address is not the endpoint.";

/** The problem of a request that was refused before GraphQL ran. */
function problemOfStatus({ status, headers }, answer) {
  if (SENTENCES[status]) return new Problem({ message: SENTENCES[status], retryable: status !== 413, lasting: true });
  const message = answer?.errors?.[0]?.message ?? `The endpoint failed to answer (status ${status}).`;
  return new Problem({ message, retryable: true, retryAfterSeconds: Number(headers.get("retry-after")) || null });
}

/** Errors without `data` and code were found before anything ran: the document itself is refused. */
export function problemOfErrors({ errors: [{ message, extensions = {} }], data }) {
  const { code, retryable = true, retryAfterSeconds } = extensions;
  return new Problem({ message, code, retryable, retryAfterSeconds, refused: data === undefined && !code });
}

export function failureOf(payload, sentence) {
  const message = sentence || "The endpoint gave neither a drawing nor a reason.";
  return new Problem(payload?.problem ?? { message, retryable: true });
}

export class Api {
  constructor({ endpoint, key = "" }) {
    this.endpoint = endpoint;
    this.key = key;
  }

  /**
   * Sends one operation and returns the response as it comes. Throws `Problem`, also when `late` fires, or the signal's
   * own abort.
   */
  async send(query, variables, { accept = "application/json", signal, late } = {}) {
    if (/[^!-~]/.test(this.key)) throw problemOfStatus({ status: 401 }); // no header can hold it
    const headers = { "content-type": "application/json", accept };
    if (this.key) headers.authorization = `Bearer ${this.key}`;
    const body = JSON.stringify({ query, variables });
    const either = AbortSignal.any([signal, late].filter(Boolean));
    try {
      return await fetch(this.endpoint, { method: "POST", headers, body, signal: either });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Problem({ message: `The endpoint at ${this.endpoint} does not answer, or not to this page.`, retryable: true });
    }
  }

  /** The data of the whole answer, which may take so long. */
  async ask(query, variables, signal, within_ms = QUICK_MS) {
    const late = AbortSignal.timeout(within_ms);
    return answerOf(await this.send(query, variables, { signal, late }), signal);
  }

  /** A payload with either a result or a request id. */
  async improve(input, signal) {
    const within_ms = input.async ? TRANSFER_MS : DRAWING_MS;
    const { improveSketch: payload } = await this.ask(IMPROVE, { input }, signal, within_ms);
    if (payload?.result || payload?.requestId) return payload;
    throw failureOf(payload, payload?.errors?.[0]);
  }

  /** The picture at an `imageUrl`, which the browser caches. */
  async picture(url, signal) {
    const either = AbortSignal.any([signal, AbortSignal.timeout(TRANSFER_MS)]);
    const response = await fetch(url, { signal: either }).catch(() => null);
    const picture = response?.ok && (await response.blob().catch(() => null));
    if (picture) return picture;
    throw new Problem({ message: "The drawing is done but cannot be fetched.", retryable: true });
  }

  async drawing(id, signal) {
    const { improveSketchStatus: state } = await this.ask(DRAWING_OF, { id }, signal);
    if (state.result) return state.result;
    throw failureOf(state, state.error);
  }
}

/** The data of a JSON answer without errors. Throws `Problem`. */
export async function answerOf(response, signal) {
  let answer = null;
  try {
    answer = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    const whole = error instanceof SyntaxError;
    if (response.ok) throw new Problem({ message: whole ? NOT_IT : BROKEN, retryable: true, lasting: whole });
  }
  if (answer?.data && !answer.errors) return answer.data;
  throw response.status <= 400 && answer?.errors?.length ? problemOfErrors(answer) : problemOfStatus(response, answer);
}
