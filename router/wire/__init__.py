"""What crosses the wire, read without I/O: `requests` (what clients ask), `controls` (our request headers),
`responses` (bodies and chunks of providers), `streams` (server-sent events in, edited events out). `dialect` says how a
client is answered in the API by which it asked; `messages_api` is all of Anthropic's.

Only the fields we act on are typed; everything else is relayed as received.
"""
