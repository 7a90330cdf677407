// Runs graphql-sse's own client, in distinct connections mode, against the endpoint at argv[2].
// `follow ID…` prints each result as a JSON line {id, result} and ends once all are complete; `once JSON` sends one
// request and prints its results. A first line {connected} comes with each connection, the retries included.
import { createClient } from "graphql-sse";

const WATCH = `subscription Watch($id: String!) {
  improveSketchStatus(requestId: $id) { requestId status result { title } } }`;

const [url, what, ...given] = process.argv.slice(2);
const print = (value) => console.log(JSON.stringify(value));
const client = createClient({
  url,
  retryAttempts: 100, // an instance takes some seconds to come back
  retry: () => new Promise((resolve) => setTimeout(resolve, 200)),
  on: { connected: (retried) => print({ connected: true, retried }) },
});

async function follow(id) {
  for await (const result of client.iterate({ query: WATCH, variables: { id } })) print({ id, result });
  print({ id, complete: true });
}

async function once(request) {
  for await (const result of client.iterate(request)) print({ result });
  print({ complete: true });
}

// Follows and goes away after the first state.
async function glance(id) {
  for await (const result of client.iterate({ query: WATCH, variables: { id } })) {
    print({ id, result });
    return;
  }
}

if (what === "follow") await Promise.all(given.map(follow));
if (what === "glance") await Promise.all(given.map(glance));
if (what === "once") await once(JSON.parse(given[0]));
client.dispose();
