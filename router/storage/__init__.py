"""What outlives the process: `schema` (migrations), `sqlite` (ledger and keys in one file), `writer` (entries in
batches, off the event loop), `pepper` (what key digests are made with), `errors`."""
