"""Anthropic's Messages API: what its clients ask and how they are answered, by whichever API the provider is asked.

`reading` makes a `ModelRequest` of a body, with `conversation` for its messages. `replies` reads whole answers,
`streams` carries the streams of providers that speak this API too. `translation` and `translated_streams` make answers
of chat completions into messages. `errors` words errors, and `dialect` is all of it as the gateway calls it.

Shapes: the `anthropic` package 2.14 and OpenRouter's OpenAPI file of 2026-08-22.
"""
