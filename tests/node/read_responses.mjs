// Asks a base URL for some responses with the official client and prints what it made of each, as
// tests/e2e/test_responses_recordings.py has it (`Said`). In: {base_url, key, model, asks: [{user, stream}]} on standard
// input. Out: a list.
import OpenAI from "openai";

let input = "";
for await (const piece of process.stdin) input += piece;
const { base_url, key, model, asks } = JSON.parse(input);
const client = new OpenAI({ baseURL: base_url, apiKey: key, maxRetries: 0 });

function saidBy(response) {
  const said = { text: "", calls: [], sealed: [], status: response.status, usage: response.usage, error: null };
  for (const item of response.output) {
    if (item.type === "message") said.text += item.content.map((part) => part.text).join("");
    else if (item.type === "function_call") said.calls.push([item.call_id, item.name, item.arguments]);
    else said.sealed.push(item.encrypted_content);
  }
  return said;
}

async function read(ask) {
  const body = { model, input: "Tea?", max_output_tokens: 100, user: ask.user };
  try {
    if (!ask.stream) return saidBy(await client.responses.create(body));
    let last = null;
    for await (const event of await client.responses.create({ ...body, stream: true })) last = event.response ?? last;
    await client.responses.stream(body).finalResponse();
    return saidBy(last);
  } catch (error) {
    if (!(error instanceof OpenAI.OpenAIError)) throw error;
    return { error: error.message };
  }
}

const all = [];
for (const ask of asks) all.push(await read(ask));
process.stdout.write(JSON.stringify(all));
