// Asks a base URL for some answers with the official client and prints what it made of each, as tests/upstream/
// recordings.py has it (`Said`). In: {base_url, key, model, asks: [{user, stream}]} on standard input. Out: a list.
// An ask may instead name a text to `embed`, and then is what comes of it: the figures of a vector.
import OpenAI from "openai";

let input = "";
for await (const piece of process.stdin) input += piece;
const { base_url, key, model, asks } = JSON.parse(input);
const client = new OpenAI({ baseURL: base_url, apiKey: key, maxRetries: 0 });

function nothing() {
  return { text: "", reasoning: "", details: [], calls: [], cited: [], finish_reason: null, usage: null, error: null };
}

function add(said, delta, finish) {
  said.text += delta.content ?? "";
  said.reasoning += delta.reasoning ?? "";
  said.details.push(...(delta.reasoning_details ?? []));
  said.cited.push(...(delta.annotations ?? []).map((each) => each.url_citation.url));
  (delta.tool_calls ?? []).forEach((call, position) => {
    const its = (said.calls[call.index ?? position] ??= ["", "", ""]);
    its[0] ||= call.id ?? "";
    its[1] ||= call.function?.name ?? "";
    its[2] += call.function?.arguments ?? "";
  });
  said.finish_reason = finish ?? said.finish_reason;
}

async function embedded(text) {
  const { data } = await client.embeddings.create({ model, input: text });
  return data[0].embedding;
}

async function read(ask) {
  if (ask.embed !== undefined) return embedded(ask.embed);
  const said = nothing();
  const body = { model, user: ask.user, messages: [{ role: "user", content: "Tea?" }], max_tokens: 100 };
  try {
    if (!ask.stream) {
      const { choices, usage } = await client.chat.completions.create(body);
      add(said, choices[0].message, choices[0].finish_reason);
      said.usage = usage;
      return said;
    }
    const stream = { ...body, stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await client.chat.completions.create(stream)) {
      for (const choice of chunk.choices) add(said, choice.delta, choice.finish_reason);
      said.usage = chunk.usage ?? said.usage;
    }
    const { choices } = await client.chat.completions.stream(stream).finalChatCompletion();
    said.helper = { text: choices[0].message.content ?? "", role: choices[0].message.role, finish: choices[0].finish_reason };
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    said.error = error.message;
  }
  return said;
}

const all = [];
for (const ask of asks) all.push(await read(ask));
process.stdout.write(JSON.stringify(all));
