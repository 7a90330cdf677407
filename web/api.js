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

  /** Sends one operation and returns the response as it comes. Throws `Problem`, or the signal's own abort. */
  async send(query, variables, { accept = "application/json", signal } = {}) {
    if (/[^!-~]/.test(this.key)) throw problemOfStatus({ status: 401 }); // no header can hold it
    const headers = { "content-type": "application/json", accept };
    if (this.key) headers.authorization = `Bearer ${this.key}`;
    try {
      return await fetch(this.endpoint, { method: "POST", headers, body: JSON.stringify({ query, variables }), signal });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Problem({ message: `The endpoint at ${this.endpoint} does not answer, or not to this page.`, retryable: true });
    }
  }

  async ask(query, variables, signal) {
    return answerOf(await this.send(query, variables, { signal }), signal);
  }

  /** A payload with either a result or a request id. */
  async improve(input, signal) {
    const { improveSketch: payload } = await this.ask(IMPROVE, { input }, signal);
    if (payload?.result || payload?.requestId) return payload;
    throw failureOf(payload, payload?.errors?.[0]);
  }

  /** The picture at an `imageUrl`, which the browser caches. */
  async picture(url, signal) {
    const response = await fetch(url, { signal }).catch(() => null);
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
