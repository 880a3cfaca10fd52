"""What an operator sees.

`metrics` are Prometheus's, from ledger entries; `events` counters and histograms, `money` counters exact to the
nano-dollar, `gauges` what is read when it is asked for, `loop_lag` one of them. Their numbers are kept by `figures`,
or, where several workers count together, by `shared`.
"""
