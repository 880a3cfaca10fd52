"""What an operator sees: `metrics` (Prometheus, from ledger entries), `money` (counters exact to the nano-dollar)."""
