"""Penstock: a streaming OpenAI-API proxy that sends each request to the cheapest model that is good enough.

One request travels down the house and back: `server` takes HTTP, `gateway` carries the request, `decision` (pure)
chooses, `limits` holds the money, `upstream` sends, `gateway` relays and settles, `ledger` says what it cost.
A module imports downwards only; `docs/architecture.md` draws the floors and the tests hold them.
"""
