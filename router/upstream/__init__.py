"""The way to providers: `outgoing` (the body that is sent, by each API in a file of its own; `orders` is what
a decision adds to it), `client` (one attempt, errors translated), `transport` and
`connection` (HTTP/1.1 with a pool), `address` (URLs), `egress` (where may be connected to), `faults` (what goes
wrong), `posting` (the same way for a thread with messages), `openrouter` (facts about OpenRouter alone).
"""
