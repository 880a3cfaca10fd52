// Vercel's AI SDK with its OpenAI-compatible provider.
import assert from "node:assert/strict";
import test from "node:test";
import { theProviderFailsForAMoment } from "./sandbox.mjs";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const penstock = createOpenAICompatible({
  name: "penstock",
  baseURL: process.env.BASE_URL,
  apiKey: process.env.KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = penstock("auto");
const schema = z.object({ name: z.string(), inhabitants: z.number() });

const features = {
  async whole() {
    const { text, usage } = await generateText({ model, prompt: "Tell me about tea.", maxRetries: 0 });
    assert.ok(text);
    assert.ok(usage.totalTokens > 0);
  },
  async streamed() {
    const pieces = [];
    for await (const piece of streamText({ model, prompt: "Tell me about tea." }).textStream) pieces.push(piece);
    assert.ok(pieces.length > 3);
  },
  async "usage of a stream"() {
    const answer = streamText({ model, prompt: "Tea?" });
    await answer.consumeStream();
    assert.ok((await answer.usage).outputTokens > 0);
  },
  async tools() {
    const weather = tool({
      description: "The weather in a city.",
      inputSchema: z.object({ city: z.string() }).partial(),
      execute: async () => "Rain.",
    });
    const prompt = "What is the weather in Paris?";
    const called = await generateText({ model, tools: { weather }, toolChoice: "required", prompt });
    assert.ok(called.toolCalls.length > 0);
    const streamed = streamText({ model, tools: { weather }, prompt, stopWhen: stepCountIs(3) });
    await streamed.consumeStream();
    await streamed.text;
  },
  async "structured output"() {
    const { object } = await generateObject({ model, schema, prompt: "Name a city." });
    assert.ok(object.name !== undefined);
  },
  async image() {
    const content = [{ type: "text", text: "What is this?" }, { type: "image", image: PIXEL, mediaType: "image/png" }];
    assert.ok((await generateText({ model, messages: [{ role: "user", content }] })).text);
  },
  async errors() {
    const asked = generateText({ model: penstock("no-such-model"), prompt: "Tea?", maxRetries: 0 });
    await assert.rejects(asked, (error) => APICallError.isInstance(error) && error.statusCode === 404);
  },
  async retries() {
    await theProviderFailsForAMoment();
    assert.ok((await generateText({ model: penstock("opus"), prompt: "Tea?", maxRetries: 3 })).text);
  },
  async cancellation() {
    for (let time = 0; time < 3; time++) {
      const abort = new AbortController();
      const answer = streamText({ model, prompt: "Tell me a long story.", abortSignal: abort.signal });
      for await (const _ of answer.textStream) break;
      abort.abort();
    }
    await features.whole();
  },
  async embeddings() {
    const { embeddings } = await embedMany({ model: penstock.textEmbeddingModel("embed"), values: ["tea", "coffee"] });
    assert.ok(embeddings.length === 2 && embeddings[0].length > 100);
  },
};

for (const [name, use] of Object.entries(features)) test(name, use);
