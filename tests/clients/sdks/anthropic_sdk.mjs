// The Anthropic SDK for Node: a tool loop, answered at once and as a stream.
import assert from "node:assert/strict";

import Anthropic from "@anthropic-ai/sdk";

import { CALL, ENVOY, PARAMETERS, PETS, TEXT, assertShorter, forwarded, headers } from "./scripted.mjs";

const client = new Anthropic({ baseURL: ENVOY, apiKey: "sk-ant-test", maxRetries: 0 });
const tools = [{ name: "list_pets", description: "Lists pets.", input_schema: PARAMETERS }];

async function ask(messages, name, script, stream) {
  const body = { model: "claude-sonnet-4-5", max_tokens: 1024, tools, messages };
  const options = { headers: headers(name, script) };
  if (!stream) return client.messages.create(body, options);
  const events = client.messages.stream(body, options);
  let pieces = 0;
  events.on("text", () => pieces++);
  const message = await events.finalMessage();
  assert(pieces > 1, "the answer came in pieces");
  return message;
}

async function toolLoop(stream) {
  const name = `node-anthropic-${stream ? "stream" : "whole"}`;
  const messages = [{ role: "user", content: "How many pets are there?" }];
  const first = await ask(messages, `${name}-1`, CALL, stream);
  assert.equal(first.stop_reason, "tool_use");
  const call = first.content.find((block) => block.type === "tool_use");
  assert.deepEqual([call.name, call.input], ["list_pets", CALL.tool_call.arguments]);
  assert(first.usage.input_tokens > 0 && first.usage.output_tokens > 0);

  messages.push({ role: "assistant", content: first.content });
  messages.push({ role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: PETS }] });
  const last = await ask(messages, `${name}-2`, TEXT, stream);
  assert.equal(last.content[0].text, TEXT.text);

  const got = await forwarded(`${name}-2`);
  const [result] = got.messages[2].content;
  assert.deepEqual([result.type, result.tool_use_id], ["tool_result", call.id]);
  assertShorter(result.content);
  assert.deepEqual(got.messages[0], messages[0]);
  assert.deepEqual(got.messages[1].content.at(-1).input, CALL.tool_call.arguments);
  assert.deepEqual(got.tools, tools);
}

await toolLoop(false);
await toolLoop(true);

await assert.rejects(
  ask([{ role: "user", content: "x" }], "node-anthropic-error", { status: 429 }, false),
  (error) => error instanceof Anthropic.RateLimitError && error.message.includes("scripted status 429"),
);
