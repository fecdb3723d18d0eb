// The Google Gen AI SDK for Node: a tool loop, answered at once and as a stream.
import assert from "node:assert/strict";

import { GoogleGenAI } from "@google/genai";

import { CALL, ENVOY, PETS, TEXT, assertShorter, forwarded, headers } from "./scripted.mjs";

const client = new GoogleGenAI({ apiKey: "test", httpOptions: { baseUrl: ENVOY } });
const parameters = { type: "OBJECT", properties: { limit: { type: "INTEGER" }, owner: { type: "STRING" } } };
const tools = [{ functionDeclarations: [{ name: "list_pets", description: "Lists pets.", parameters }] }];

/** The parts of the whole answer. */
async function ask(contents, name, script, stream) {
  const config = { tools, httpOptions: { headers: headers(name, script) } };
  const request = { model: "gemini-2.5-pro", contents, config };
  if (!stream) return (await client.models.generateContent(request)).candidates[0].content.parts;
  const parts = [];
  let chunks = 0;
  for await (const chunk of await client.models.generateContentStream(request)) {
    parts.push(...chunk.candidates[0].content.parts);
    chunks++;
    assert(chunk.usageMetadata.promptTokenCount > 0);
  }
  if (script === TEXT) assert(chunks > 2, "the answer came in pieces");
  return parts;
}

async function toolLoop(stream) {
  const name = `node-genai-${stream ? "stream" : "whole"}`;
  const contents = [{ role: "user", parts: [{ text: "How many pets are there?" }] }];
  const { functionCall } = (await ask(contents, `${name}-1`, CALL, stream)).at(-1);
  assert.deepEqual([functionCall.name, functionCall.args], ["list_pets", CALL.tool_call.arguments]);
  contents.push({ role: "model", parts: [{ functionCall }] });
  const functionResponse = { name: "list_pets", response: { output: PETS } };
  contents.push({ role: "user", parts: [{ functionResponse }] });
  const last = await ask(contents, `${name}-2`, TEXT, stream);
  assert.equal(last.map((part) => part.text).join(""), TEXT.text);

  const got = await forwarded(`${name}-2`);
  assert.deepEqual(got.contents.slice(0, 2), contents.slice(0, 2));
  const given = got.contents[2].parts[0].functionResponse;
  assert.equal(given.name, "list_pets");
  assertShorter(given.response.output);
}

await toolLoop(false);
await toolLoop(true);

await assert.rejects(
  ask([{ role: "user", parts: [{ text: "x" }] }], "node-genai-error", { status: 400 }, false),
  (error) => error.status === 400 && error.message.includes("scripted status 400"),
);
