// Scripts for the provider's answers, and the requests that reached it.
import assert from "node:assert/strict";

export const ENVOY = process.env.ENVOY_URL;

// What a tool of an API client typically gives back: indented JSON.
export const PETS = JSON.stringify(
  Array.from({ length: 40 }, (_, n) => ({ id: 1000 + n, name: `Rex ${n}`, kind: "dog", vaccinated: n % 3 === 0 })),
  null,
  2,
);
export const CALL = { tool_call: { name: "list_pets", arguments: { limit: 40, owner: "Grusse" } } };
export const TEXT = { text: "There are forty dogs." };
export const PARAMETERS = { type: "object", properties: { limit: { type: "integer" }, owner: { type: "string" } } };

export function headers(name, script) {
  return { "x-test-name": name, "x-script": JSON.stringify(script) };
}

/** The only request of this name, as received by the provider. */
export async function forwarded(name) {
  const requests = await (await fetch(`${process.env.PROVIDER_URL}/__requests/${name}`)).json();
  assert.equal(requests.length, 1, `requests of the name ${name}`);
  const [request] = requests;
  assert(request.complete);
  assert.deepEqual(request.headers.filter(([key]) => key.startsWith("x-headroom-")), []);
  return JSON.parse(request.body);
}

/** A tool output is shorter and has the same content. */
export function assertShorter(got) {
  assert(got.length < PETS.length, `${got.length} of ${PETS.length}`);
  for (let n = 0; n < 40; n++) assert(got.includes(`Rex ${n}`), got);
}
