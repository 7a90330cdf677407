/** Server-sent events read from a fetch response, because EventSource can only send GET. */

/** Yields {event, data} for each event. Ends with the stream; throws when it stays silent for too long. */
export async function* eventsOf(response, { silence_ms = 40_000 } = {}) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await within(silence_ms, reader.read());
      if (done) return;
      const blocks = (text + value).replaceAll("\r\n", "\n").split("\n\n");
      text = blocks.pop();
      yield* blocks.map(eventOf).filter(Boolean);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** One block of lines as an event; null for a comment, which only keeps the connection open. */
function eventOf(block) {
  const found = { event: "message", data: [] };
  for (const line of block.split("\n")) {
    const [, field, value] = /^(event|data)(?:: ?(.*))?$/.exec(line) ?? [];
    if (field === "event") found.event = value ?? "";
    if (field === "data") found.data.push(value ?? "");
  }
  return found.data.length || found.event !== "message" ? { ...found, data: found.data.join("\n") } : null;
}

/** The promise, or an error once this much time has passed. */
export function within(limit_ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("the stream fell silent")), limit_ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
