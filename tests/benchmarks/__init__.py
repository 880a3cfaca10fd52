"""What the proxy costs: CPU per request and chunk, added latency, memory and start, beside nginx in the same run.

`python -m tests.benchmarks` from the checkout's root starts everything on loopback as separate processes:

    load.py  →  a contestant (nginx | penstock | bare_relay.py)  →  mock_upstream.py

`contestants.py` says how each is started, `scenarios.py` what is asked of them, `rounds.py` in which order,
`rows.py` turns measurements into figures and `report.py` prints them. Absolute times move by tens of per cent with the
machine's mood; the ratio to nginx, measured seconds apart on the same core, does not, so judge by the ratio.
"""
