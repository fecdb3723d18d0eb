// The OpenAI SDK for Node: a tool loop over Chat Completions and over Responses, at once and as a stream.
import assert from "node:assert/strict";

import OpenAI from "openai";

import { CALL, ENVOY, PARAMETERS, PETS, TEXT, assertShorter, forwarded, headers } from "./scripted.mjs";

const client = new OpenAI({ baseURL: `${ENVOY}/v1`, apiKey: "sk-test", maxRetries: 0 });
const described = { name: "list_pets", description: "Lists pets.", parameters: PARAMETERS };

async function chat(messages, name, script, stream) {
  const body = { model: "gpt-4.1", messages, tools: [{ type: "function", function: described }] };
  const options = { headers: headers(name, script) };
  if (!stream) return (await client.chat.completions.create(body, options)).choices[0];
  const events = client.chat.completions.stream({ ...body, stream_options: { include_usage: true } }, options);
  let pieces = 0;
  events.on("chunk", () => pieces++);
  const completion = await events.finalChatCompletion();
  assert(pieces > 2, "the answer came in pieces");
  assert(completion.usage.prompt_tokens > 0);
  return completion.choices[0];
}

async function chatLoop(stream) {
  const name = `node-chat-${stream ? "stream" : "whole"}`;
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "How many pets are there?" },
  ];
  const first = await chat(messages, `${name}-1`, CALL, stream);
  const [call] = first.message.tool_calls;
  assert.equal(call.function.name, "list_pets");
  assert.deepEqual(JSON.parse(call.function.arguments), CALL.tool_call.arguments);
  const { id, type, function: { name: called, arguments: given } } = call;
  messages.push({ role: "assistant", content: null, tool_calls: [{ id, type, function: { name: called, arguments: given } }] });
  messages.push({ role: "tool", tool_call_id: id, content: PETS });
  const last = await chat(messages, `${name}-2`, TEXT, stream);
  assert.equal(last.message.content, TEXT.text);

  const got = await forwarded(`${name}-2`);
  assert.deepEqual(got.messages.slice(0, 3), messages.slice(0, 3));
  assert.equal(got.messages[3].tool_call_id, id);
  assertShorter(got.messages[3].content);
}

async function responses(body, name, script, stream) {
  const options = { headers: headers(name, script) };
  if (!stream) return client.responses.create(body, options);
  return client.responses.stream(body, options).finalResponse();
}

async function responsesLoop(stream) {
  const name = `node-responses-${stream ? "stream" : "whole"}`;
  const tools = [{ type: "function", ...described, strict: false }];
  const input = [{ role: "user", content: "How many pets are there?" }];
  const first = await responses({ model: "gpt-5", input, tools }, `${name}-1`, CALL, stream);
  const call = first.output.find((item) => item.type === "function_call");
  assert.deepEqual(JSON.parse(call.arguments), CALL.tool_call.arguments);
  const { type, call_id, name: called, arguments: given } = call;
  input.push({ type, call_id, name: called, arguments: given });
  input.push({ type: "function_call_output", call_id, output: PETS });
  const last = await responses({ model: "gpt-5", input, tools }, `${name}-2`, TEXT, stream);
  assert.equal(last.output_text, TEXT.text);
  assert(last.usage.input_tokens > 0);

  const got = await forwarded(`${name}-2`);
  assert.deepEqual(got.input.slice(0, 2), input.slice(0, 2));
  assert.equal(got.input[2].call_id, call_id);
  assertShorter(got.input[2].output);
}

for (const stream of [false, true]) {
  await chatLoop(stream);
  await responsesLoop(stream);
}

await assert.rejects(
  chat([{ role: "user", content: "x" }], "node-openai-error", { status: 500 }, false),
  (error) => error instanceof OpenAI.InternalServerError && error.message.includes("scripted status 500"),
);
