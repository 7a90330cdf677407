// Sends the original front end's mutation, unchanged, to the endpoint at argv[2], from the origin at argv[3], with the
// base64 of the PNG file at argv[4]. Prints the status, the CORS header and the data, or the error that is thrown.
import { readFileSync } from "node:fs";
import { GraphQLClient, gql } from "graphql-request";

const IMPROVE_SKETCH = gql`
  mutation ImproveSketch($input: ImproveSketchInput!) {
    improveSketch(input: $input) {
      result { imageBase64 title style palette background notes }
      errors
    }
  }
`;

const [url, origin, png] = process.argv.slice(2);
const client = new GraphQLClient(url, { headers: { origin } });
const input = { pngBase64: readFileSync(png).toString("base64"), svg: null, hints: null };
const { data, status, headers } = await client.rawRequest(IMPROVE_SKETCH, { input });
console.log(JSON.stringify({ status, allowed: headers.get("access-control-allow-origin"), data }));
