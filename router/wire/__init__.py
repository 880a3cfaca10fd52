"""What crosses the wire, read without I/O: `requests` (what clients ask), `controls` (our request headers),
`replies` (bodies and chunks of providers), `foreign` (JSON of which nothing is expected), `json_faults` (what is wrong
with what is none), `events` (server-sent events as bytes), `editing` (events in, edited events out), `streams` (those
of a chat), `dialect` (how a client of an API is answered), `over_chat` (what translations of a chat share),
`responses_api` (OpenAI's Responses API), `messages_api` (Anthropic's); `prompts`, with `embeddings`, `completions` and
`moderations` (what is asked without a conversation), `whole` (answers that are never streamed), `answers` (what an
answer says, to be verified).

Only the fields we act on are typed; everything else is relayed as received.
"""
