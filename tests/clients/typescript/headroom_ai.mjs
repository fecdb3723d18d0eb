// npm headroom-ai, unchanged: its four wrappers around other clients, `compress`, and its behaviour without an answer.
import assert from "node:assert/strict";

import Anthropic from "@anthropic-ai/sdk";
import { createOpenAI } from "@ai-sdk/openai";
import { GoogleGenerativeAI } from "@google/generative-ai";
import { generateText } from "ai";
import { compress } from "headroom-ai";
import { withHeadroom as withAnthropic } from "headroom-ai/anthropic";
import { withHeadroom as withGemini } from "headroom-ai/gemini";
import { withHeadroom as withOpenAI } from "headroom-ai/openai";
import { withHeadroom as withVercel } from "headroom-ai/vercel-ai";
import OpenAI from "openai";

const PROVIDER = process.env.PROVIDER_URL;
const PETS = JSON.stringify(
  Array.from({ length: 40 }, (_, n) => ({ id: 1000 + n, name: `Rex ${n}`, kind: "dog", vaccinated: n % 3 === 0 })),
  null,
  2,
);
const SAID = "There are forty dogs.";
const ASK = "How many pets are there?";

const headers = (name) => ({ "x-test-name": name, "x-script": JSON.stringify({ text: SAID }) });

async function forwarded(name) {
  const requests = await (await fetch(`${PROVIDER}/__requests/${name}`)).json();
  assert.equal(requests.length, 1, name);
  return JSON.parse(requests[0].body);
}

/** The output is shorter and has the same content. */
function assertShorter(got) {
  assert.equal(typeof got, "string");
  assert(got.length < PETS.length, `${got.length} of ${PETS.length}`);
  for (let n = 0; n < 40; n++) assert(got.includes(`Rex ${n}`), got);
}

const chat = [
  { role: "user", content: ASK },
  {
    role: "assistant",
    content: null,
    tool_calls: [{ id: "c1", type: "function", function: { name: "list_pets", arguments: "{}" } }],
  },
  { role: "tool", tool_call_id: "c1", content: PETS },
];

// The wrapper does not pass options of a call on, so the headers are set on the client.
const openai = new OpenAI({ baseURL: `${PROVIDER}/v1`, apiKey: "sk-test", maxRetries: 0, defaultHeaders: headers("ts-openai") });
const completion = await withOpenAI(openai).chat.completions.create({ model: "gpt-5", messages: chat });
assert.equal(completion.choices[0].message.content, SAID);
const asked = await forwarded("ts-openai");
assert.deepEqual(asked.messages.map((message) => message.role), ["user", "assistant", "tool"]);
assertShorter(asked.messages[2].content);

const anthropic = new Anthropic({ baseURL: PROVIDER, apiKey: "sk-ant-test", maxRetries: 0, defaultHeaders: headers("ts-anthropic") });
const message = await withAnthropic(anthropic).messages.create({
  model: "claude-sonnet-4-5",
  max_tokens: 100,
  messages: [
    { role: "user", content: ASK },
    { role: "assistant", content: [{ type: "tool_use", id: "c1", name: "list_pets", input: {} }] },
    { role: "user", content: [{ type: "tool_result", tool_use_id: "c1", content: PETS }] },
  ],
});
assert.equal(message.content[0].text, SAID);
assertShorter((await forwarded("ts-anthropic")).messages[2].content[0].content);

const google = new GoogleGenerativeAI("key").getGenerativeModel(
  { model: "gemini-2.5-pro" },
  { baseUrl: PROVIDER, customHeaders: headers("ts-gemini") },
);
const generated = await withGemini(google, { model: "gemini-2.5-pro" }).generateContent({
  contents: [
    { role: "user", parts: [{ text: ASK }] },
    { role: "model", parts: [{ functionCall: { name: "list_pets", args: {} } }] },
    { role: "user", parts: [{ functionResponse: { name: "list_pets", response: { content: PETS } } }] },
  ],
});
assert.equal(generated.response.text(), SAID);
const gemini = await forwarded("ts-gemini");
assert.equal(gemini.contents.length, 3);
assert.equal(gemini.contents[2].parts[0].functionResponse.name, "list_pets");

const provider = createOpenAI({ baseURL: `${PROVIDER}/v1`, apiKey: "sk-test", headers: headers("ts-vercel") });
const { text } = await generateText({
  model: withVercel(provider.chat("gpt-5")),
  maxRetries: 0,
  messages: [
    { role: "user", content: ASK },
    { role: "assistant", content: [{ type: "tool-call", toolCallId: "c1", toolName: "list_pets", input: {} }] },
    {
      role: "tool",
      content: [{ type: "tool-result", toolCallId: "c1", toolName: "list_pets", output: { type: "text", value: PETS } }],
    },
  ],
});
assert.equal(text, SAID);
assert.equal((await forwarded("ts-vercel")).messages.length, 3);

const plain = await compress(chat, { model: "gpt-5" });
assert(plain.compressed && plain.tokensSaved > 100 && plain.compressionRatio < 1, JSON.stringify(plain));
assertShorter(plain.messages[2].content);
const nobody = await compress(chat, { model: "gpt-5", baseUrl: "http://127.0.0.1:9" });
assert.deepEqual([nobody.compressed, nobody.messages], [false, chat]);
