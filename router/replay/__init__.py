"""Yesterday's ledger under another configuration: `replay` reads it in order of time, `judge` decides each request
again and says what it would have cost, `habits` knows from the ledger how models differ in length and vocabulary,
`report` adds up. What the server learns while it serves comes in by the protocols of `learned`.
"""
