"""OpenAI's Responses API, without I/O: what clients ask by it, and how they are answered.

`requests` reads a body, `as_chat` says its input as a chat's messages, `tools` its tools. `replies` reads what
providers answer by it, `native` edits their streams; `output` and `translated` make answers and streams of a chat's.
`events` writes single events, `said` reads answers for verification, `dialect` is what the gateway talks to.

Sources: OpenAI's API reference and openai-python 3.54 (types/responses), OpenRouter's OpenAPI file of 2026-08-22 and
recordings of 2026-08 (docs/reference/openrouter.md).
"""
