"""The sandbox: a simulated OpenRouter on loopback, and the judge of the proxy's money.

It answers like the real service, keeps its own bill, and shares no arithmetic with the rest of the package.

`app.sandbox_app` builds it. A request passes through `desk` (the path all endpoints share), `requests` (what was
asked), `fault_source` and `faults` (what is to go wrong; `failures` are the errors, `scenario` and `conduct` the plans
and outages), `admission` and `accounts` (may it be served), `prompt_tokens` and `prompt_cache` (how many tokens went
in, and how many of them were remembered), `answers` (what is said, made by `prose`, `schemas`, `pelican`) and
`serving`, which carries the order (`orders`) to the client and puts it on the bill (`billing`). A dialect (`wire`)
makes the bytes: `chat_wire`, `responses`, `messages`, `completions`, `embeddings`; `spoiling` garbles them on demand,
`connection` sends them.

`offer` and `stock` are the models and prices, which `market` changes on demand; `listing` shows them. `manners` tells
OpenRouter from the other `servers`. `control` is the way in for whoever tests against it: docs/sandbox.md.

Every fact about OpenRouter's wire format comes from its OpenAPI file, documentation and published recordings of its
traffic, as of 2026-11; what the sandbox only chose (speeds, verbosity, token overheads) says so where it stands.
"""
