/** A job's states until it is settled: streamed if the endpoint can stream, otherwise polled. */

import { answerOf, PROBLEM, Problem, problemOfErrors } from "./api.js";
import { eventsOf, within } from "./stream.js";

const PLAIN = `status error attempt maxAttempts retryAt ${PROBLEM}`;
const RICH = `${PLAIN} etaMs pollAfterMs`;
const SETTLED = new Set(["done", "error", "not_found"]);
const NO_STREAM = new Set([400, 405, 406, 415]);
const FIRST_STATE_MS = 5_000;
const MAX_FAILURES = 8;
const MAX_STREAMS = 3; // over HTTP/1.1 a browser has six connections to a host, and other requests need some
let streaming = 0;

/** What an endpoint turned out to lack, remembered until the page is left: "streams", or the "newer fields". */
const lacking = new Set();
const lacks = (api, what) => lacking.has(`${what} at ${api.endpoint}`);
const noteLack = (api, what) => void lacking.add(`${what} at ${api.endpoint}`);

const operation = (kind, fields) => `${kind} Watch($id: String!) { improveSketchStatus(requestId: $id) { ${fields} } }`;

/** Runs `attempt` with every field this page knows; once more with the plain ones if the schema lacks some. */
async function withFields(api, attempt) {
  if (lacks(api, "newer fields")) return attempt(PLAIN);
  try {
    return await attempt(RICH);
  } catch (problem) {
    if (!problem.refused) throw problem;
    const answer = await attempt(PLAIN);
    noteLack(api, "newer fields");
    return answer;
  }
}

/** Yields each state; returns after a settled one. Throws `Problem` when contact is lost for good. */
export async function* watch(api, id, signal) {
  let failures = 0;
  for (let turn = 0; ; turn++) {
    try {
      let latest;
      for await (latest of states(api, id, signal)) {
        failures = 0;
        yield latest;
        if (SETTLED.has(latest.status)) return;
      }
      await pause(latest.pollAfterMs ?? Math.min(600 + 150 * turn, 3000), signal);
    } catch (problem) {
      if (signal.aborted || problem.retryable === false || problem.lasting || ++failures > MAX_FAILURES) throw problem;
      await pause((problem.retryAfterSeconds ?? Math.min(2 ** failures / 2, 10)) * 1000, signal);
    }
  }
}

/** Yields the states that a stream sends while it lasts, then the state that a query returns. */
async function* states(api, id, signal) {
  if (!lacks(api, "streams") && streaming < MAX_STREAMS) {
    streaming++;
    try {
      yield* streamed(api, id, signal);
    } catch (problem) {
      if (problem.code !== "RATE_LIMITED") throw problem; // queries are not limited
    } finally {
      streaming--;
    }
  }
  const answer = await withFields(api, (fields) => api.ask(operation("query", fields), { id }, signal));
  yield answer.improveSketchStatus;
}

/** Yields the states of a stream. A stream that breaks off just ends: the caller queries the state, and tries again. */
async function* streamed(api, id, signal) {
  const opened = await withFields(api, (fields) => open(api, operation("subscription", fields), id, signal));
  if (!opened) return noteLack(api, "streams");
  try {
    yield* opened;
  } catch (error) {
    if (signal.aborted || error instanceof Problem) throw error;
  }
}

/** The states of a stream once its first one is there; null if there is no stream, or nothing gets through. */
async function open(api, query, id, signal) {
  const late = new AbortController();
  const opening = setTimeout(() => late.abort(), FIRST_STATE_MS);
  const accept = "text/event-stream, application/json;q=0.1";
  let response;
  try {
    response = await api.send(query, { id }, { accept, signal, late: late.signal });
  } catch (problem) {
    if (late.signal.aborted && !signal.aborted) return null;
    throw problem;
  } finally {
    clearTimeout(opening);
  }
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    if (!response.ok && !NO_STREAM.has(response.status)) await answerOf(response, signal);
    return null;
  }
  const told = statesIn(response);
  try {
    const { value, done } = await within(FIRST_STATE_MS, told.next());
    return (async function* () {
      if (!done) yield value;
      yield* told;
    })();
  } catch (error) {
    if (signal.aborted || error instanceof Problem) throw error;
    late.abort(); // its comments would keep it open
    return null;
  }
}

async function* statesIn(response) {
  for await (const { event, data } of eventsOf(response)) {
    if (event === "complete") return;
    if (event === "next") yield stateOf(JSON.parse(data));
  }
}

function stateOf(answer) {
  if (answer.data?.improveSketchStatus) return answer.data.improveSketchStatus;
  throw problemOfErrors(answer);
}

function pause(wait_ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, wait_ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
