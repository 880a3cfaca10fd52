"""What crosses the wire, read without I/O: `requests` (what clients ask), `controls` (our request headers),
`responses` (bodies and chunks of providers), `streams` (server-sent events in, edited events out).

Only the fields we act on are typed; everything else is relayed as received.
"""
