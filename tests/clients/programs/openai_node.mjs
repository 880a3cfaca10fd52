// The official `openai` package for Node.js.
import assert from "node:assert/strict";
import test from "node:test";
import { theProviderFailsForAMoment } from "./sandbox.mjs";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const at = { baseURL: process.env.BASE_URL, apiKey: process.env.KEY, maxRetries: 0, timeout: 30_000 };
const client = new OpenAI(at);
const chat = client.chat.completions;
const said = (content) => [{ role: "user", content }];
const City = z.object({ name: z.string(), inhabitants: z.number() });
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = { name: "weather", description: "The weather in a city.", parameters };
const tools = [{ type: "function", function: weather }];

const features = {
  async whole() {
    const answer = await chat.create({ model: "auto", messages: said("Tell me about tea.") });
    assert.ok(answer.choices[0].message.content);
    assert.ok(answer.usage.total_tokens > 0);
  },
  async streamed() {
    const pieces = [];
    for await (const chunk of await chat.create({ model: "auto", messages: said("Tell me about tea."), stream: true }))
      pieces.push(chunk.choices[0].delta.content ?? "");
    assert.ok(pieces.length > 3);
    const helper = chat.stream({ model: "auto", messages: said("Tell me about tea.") });
    assert.ok(await helper.finalContent());
  },
  async "usage of a stream"() {
    let last;
    const options = { stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await chat.create({ model: "auto", messages: said("Tea?"), ...options })) last = chunk;
    assert.ok(last.usage.completion_tokens > 0);
  },
  async tools() {
    const messages = said("What is the weather in Paris?");
    const answer = await chat.create({ model: "auto", messages, tools, tool_choice: "required" });
    const first = answer.choices[0].message;
    JSON.parse(first.tool_calls[0].function.arguments);
    const result = { role: "tool", tool_call_id: first.tool_calls[0].id, content: "Rain." };
    const second = await chat.create({ model: "auto", messages: [...messages, first, result], tools });
    assert.ok(second.choices[0].message.content);
    const streamed = await chat.stream({ model: "auto", messages, tools, tool_choice: "required" }).finalMessage();
    JSON.parse(streamed.tool_calls[0].function.arguments);
  },
  async "structured output"() {
    const format = zodResponseFormat(City, "city");
    const answer = await chat.parse({ model: "auto", messages: said("Name a city."), response_format: format });
    assert.ok(answer.choices[0].message.parsed.name !== undefined);
  },
  async image() {
    const parts = [{ type: "text", text: "What is this?" }, { type: "image_url", image_url: { url: PIXEL } }];
    const answer = await chat.create({ model: "auto", messages: said(parts) });
    assert.ok(answer.choices[0].message.content);
  },
  async errors() {
    await assert.rejects(chat.create({ model: "no-such-model", messages: said("Tea?") }), OpenAI.NotFoundError);
    const stranger = new OpenAI({ ...at, apiKey: "psk_wrong" });
    const asked = stranger.chat.completions.create({ model: "auto", messages: said("Tea?") });
    await assert.rejects(asked, OpenAI.AuthenticationError);
    await assert.rejects(async () => {
      const fault = said("[sandbox:fault=mid-stream-error] Tea?");
      for await (const _ of await chat.create({ model: "auto", messages: fault, stream: true }));
    }, OpenAI.APIError);
  },
  async retries() {
    await theProviderFailsForAMoment();
    const patient = new OpenAI({ ...at, maxRetries: 3 });
    const answer = await patient.chat.completions.create({ model: "opus", messages: said("Tea?") });
    assert.ok(answer.choices[0].message.content);
  },
  async cancellation() {
    for (let time = 0; time < 3; time++) {
      const stream = await chat.create({ model: "auto", messages: said("Tell me a long story."), stream: true });
      for await (const _ of stream) break;
      stream.controller.abort();
    }
    await features.whole();
  },
  async timeouts() {
    const hasty = new OpenAI({ ...at, timeout: 500 });
    const fault = said("[sandbox:fault=stall-before-headers] Tea?");
    const asked = hasty.chat.completions.create({ model: "auto", messages: fault });
    await assert.rejects(asked, OpenAI.APIConnectionTimeoutError);
  },
  async models() {
    const found = [];
    for await (const model of client.models.list()) found.push(model.id);
    assert.ok(found.includes("auto"));
    assert.equal((await client.models.retrieve("anthropic/claude-opus-4.7")).id, "anthropic/claude-opus-4.7");
  },
  async embeddings() {
    const answer = await client.embeddings.create({ model: "embed", input: ["tea", "coffee"] });
    assert.ok(answer.data.length === 2 && answer.data[1].embedding.length > 100);
  },
  async completions() {
    const body = { model: "deepseek/deepseek-v4-flash", prompt: "Once", max_tokens: 20 };
    assert.ok((await client.completions.create(body)).choices[0].text);
  },
  async responses() {
    const answer = await client.responses.create({ model: "auto", input: "Tell me about tea." });
    assert.ok(answer.output_text);
    const types = [];
    for await (const event of await client.responses.create({ model: "auto", input: "Tea?", stream: true }))
      types.push(event.type);
    assert.deepEqual([types[0], types.at(-1)], ["response.created", "response.completed"]);
    const format = zodTextFormat(City, "city");
    const parsed = await client.responses.parse({ model: "auto", input: "Name a city.", text: { format } });
    assert.ok(parsed.output_parsed.name !== undefined);
  },
};

for (const [name, use] of Object.entries(features)) test(name, use);
