"""What outlives the process: `journal` (calls under way), `writer` (entries into the ledger in batches, off the event
loop), `pepper` (what key digests are made with), `lock` (one process a directory), `audit_trail` (the
audit log, and whether it is what was written), `errors`, and ledger and keys in a
`store`: `sqlite` (one file) or `postgres` (with its `pool` of connections). Both share `statements`, `rows` and the
migrations in `schema`. For people who look: `totals` (sums by the hour and the day, kept beside the entries) and
`browsing` (these, and requests page by page), through `reads`, which gives up what takes too long. What teams have
kept of their requests is `sealed`, by `prompts`, the only module that knows `cryptography`.
"""
