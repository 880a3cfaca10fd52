"""What an operator sees.

metrics       Prometheus, from ledger entries
events        counters and histograms as plain figures
money         counters exact to the nano-dollar
gauges        what is read when it is asked for, `loop_lag` among them
memory, cpu   how much of the machine this process has
figures       where their numbers are kept, or, where several workers count together, `shared`
tracing       which trace a request belongs to
otlp          ledger entries as OpenTelemetry spans, and how a collector gets them
logs          how every line of the log is written
uncaught      errors that nobody caught, by type and place
requests_log  a line for each request
background    work in batches that no request waits for
"""
