"""What finished requests teach: learned, mutable state that needs no I/O of its own.

It is fed with `LedgerEntry` values, as the metrics are, and consulted before a decision. `outputs` learns how long
answers are, `ratios` how many tokens a provider reports for those we count, `latencies` how fast a deployment is;
`sketch` is the histogram they keep, `experience` the three together, as decisions ask them, and `keeping` loads it at a
start and writes it to the store. `cache_terms`: what providers publish about their prompt caches; `warmth`: which
deployment has which beginnings of prompts in its cache.

How good answers are is learned from labels: `teaching` brings them, `signals` says what each is worth, `quality` is
what they have taught and when it may speak, by corrections (`quality_ridge`) that go by named numbers of a request
(`quality_features`), put to the test by `quality_refit`; `rates` how often answers were bought or asked for again.
"""
