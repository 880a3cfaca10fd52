"""What outlives the process: `journal` (calls under way), `writer` (entries into the ledger in batches, off the event
loop), `pepper` (what key digests are made with), `lock` (one process a directory), `errors`, and ledger and keys in a
`store`: `sqlite` (one file) or `postgres` (with its `pool` of connections). Both share `statements`, `rows` and the
migrations in `schema`.
"""
