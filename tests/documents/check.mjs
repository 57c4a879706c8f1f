// Parses schemas/asyncapi.json and schemas/openapi.json; says every finding, and ends with 1 if there is any.
//
//   npm ci --ignore-scripts && node check.mjs ../../schemas

import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import { Validator } from "@seriousme/openapi-schema-validator";

const [schemas] = process.argv.slice(2);
const findings = [];

const asyncapi = `${schemas}/asyncapi.json`;
// References lead to the schemas beside the document.
const { document, diagnostics } = await new Parser().parse(readFileSync(asyncapi, "utf8"), { source: asyncapi });
for (const { code, path, message } of diagnostics) findings.push(`asyncapi.json: ${path.join(".")}: ${message} (${code})`);
const channels = document ? document.allChannels().all().map(channel => channel.address()) : [];

const { valid, errors } = await new Validator().validate(JSON.parse(readFileSync(`${schemas}/openapi.json`, "utf8")));
if (!valid) findings.push(`openapi.json: ${JSON.stringify(errors)}`);

if (findings.length > 0) {
  console.error(findings.join("\n"));
  process.exit(1);
}
console.log(`channels: ${channels.join(" ")}`);
