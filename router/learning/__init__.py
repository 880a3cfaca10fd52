"""What finished requests teach: learned, mutable state that needs no I/O of its own.

It is fed with `LedgerEntry` values, as the metrics are, and consulted before a decision. `cache_terms`: what providers
publish about their prompt caches; `warmth`: which deployment has which beginnings of prompts in its cache.
"""
