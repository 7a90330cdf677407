// GraphQL Yoga on Node's own HTTP server, with its defaults (it caches parsed and validated documents) and ioredis.
import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createSchema, createYoga } from "graphql-yoga";
import { Redis } from "ioredis";

const { REDIS_URL, PUBSUB_URL, GEMINI_BASE_URL, SCHEMA, PORT } = process.env;
const MODEL = "gemini-3.1-flash-image";
const FIELDS = ["title", "style", "palette", "background", "notes", "createdAt", "providerMs"];
const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const store = new Redis(REDIS_URL);

function keyOf(pngBase64, variant) {
  const png = Buffer.from(pngBase64, "base64");
  if (!png.subarray(0, 8).equals(SIGNATURE)) throw new Error("pngBase64 is not a PNG");
  return [`peer:result:${variant}:${createHash("sha256").update(png).digest("hex")}`, png];
}

async function drawing(key, cache) {
  const values = await store.hmget(key, ...FIELDS);
  const [title, style, palette, background, notes, createdAt, providerMs] = values;
  if (title === null) return null;
  const provenance = { cache, model: MODEL, promptVersion: "1", createdAt, providerMs: Number(providerMs) };
  return { key, mimeType: "image/png", title, style, palette: palette.split(","), background, notes, provenance };
}

async function improve(key, png) {
  const found = await drawing(key, "HIT");
  if (found) return found;
  await store.hset(key, await askGemini(png));
  await store.expire(key, 7 * 24 * 3600);
  return drawing(key, "MISS");
}

async function submit(key, png) {
  const requestId = randomUUID();
  const status = (await store.exists(key)) ? "done" : "queued";
  const now = new Date().toISOString();
  await store.hset(`peer:status:${requestId}`, { status, key, attempt: 0, createdAt: now, updatedAt: now });
  await store.expire(`peer:status:${requestId}`, 3600);
  if (status === "queued") {
    const message = { data: png.toString("base64"), attributes: { request_id: requestId } };
    await post(`${PUBSUB_URL}/v1/projects/bench/topics/jobs:publish`, { messages: [message] });
  }
  return requestId;
}

async function askGemini(png) {
  const began = performance.now();
  const inlineData = { data: png.toString("base64"), mimeType: "image/png" };
  const address = `${GEMINI_BASE_URL}/v1/models/${MODEL}:generateContent`;
  const answer = await post(address, { contents: [{ role: "user", parts: [{ inlineData }] }] });
  const [text, picture] = answer.candidates[0].content.parts;
  const said = JSON.parse(text.text);
  const providerMs = Math.round(performance.now() - began);
  const createdAt = new Date().toISOString();
  return { ...said, palette: said.palette.join(","), image: picture.inlineData.data, createdAt, providerMs };
}

async function post(address, body) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(address, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`answered ${answer.status}`);
  return answer.json();
}

const resolvers = {
  Query: {
    improveSketchStatus: async (_, { requestId }) => {
      const job = await store.hgetall(`peer:status:${requestId}`);
      if (!job.status) return { requestId, status: "not_found", attempt: 0 };
      const result = job.status === "done" ? await drawing(job.key, "HIT") : null;
      return { ...job, requestId, attempt: Number(job.attempt), result };
    },
  },
  Mutation: {
    improveSketch: async (_, { input }) => {
      const [key, png] = keyOf(input.pngBase64, input.variant);
      if (input.async) return { errors: [], requestId: await submit(key, png) };
      return { errors: [], result: await improve(key, png) };
    },
  },
  ImproveSketchResult: { imageBase64: ({ key }) => store.hget(key, "image") },
};

const schema = createSchema({ typeDefs: readFileSync(SCHEMA, "utf8"), resolvers });
createServer(createYoga({ schema, logging: false })).listen(Number(PORT), "127.0.0.1");
