// Runs every audit of the graphql-http package against the endpoint at argv[2], and prints the results as JSON.
import { auditServer } from "graphql-http";

const results = await auditServer({ url: process.argv[2] });
const shown = results.map(({ id, name, status, reason }) => ({ id, name, status, reason }));
console.log(JSON.stringify(shown, null, 1));
process.exitCode = results.every(({ status }) => status === "ok") ? 0 : 1;
