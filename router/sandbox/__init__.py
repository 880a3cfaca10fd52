"""The sandbox: a simulated OpenRouter on loopback, and the judge of the proxy's money.

It answers like the real service, keeps its own bill, and shares no arithmetic with the rest of the package.

`app.sandbox_app` builds it. A request passes through `chat` (the endpoint), `requests` (what was asked), `faults`
(what is to go wrong), `admission` (may it be served, and by which offer), `prompt_tokens` and `prompt_cache` (how many
tokens went in, and how many of them were remembered), `answers` (what is said, made by `prose`, `schemas`, `pelican`),
`wire` (the bytes of it) and `billing` (what it cost). `offer` is the list of models and prices, which `market`
changes on demand; `listing` and `accounts` are the endpoints that do not generate.

Every fact about OpenRouter's wire format comes from its OpenAPI file, documentation and published recordings of its
traffic, as of 2026-11; what the sandbox only chose (speeds, verbosity, token overheads) says so where it stands.
"""
