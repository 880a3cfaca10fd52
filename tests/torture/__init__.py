"""Torture: real processes killed, starved, cut off and rushed, and the sandbox's own bill as the judge of the money.

`python -m tests.torture money` runs it; docs/reliability.md shows what it found.

| file | what |
|---|---|
| setting.py | what one run is given: seed, length, stores, a directory |
| result.py | what one experiment found, as a table and as JSON |
| plant.py | the sandbox and the replicas, as processes that can be killed and started again |
| stores.py | Redis and PostgreSQL servers of our own, which can be frozen, killed and emptied |
| load.py | clients: what each sends, when it hangs up, what came back |
| books.py | the bill, the ledger and the journals, read from outside, and how they compare |
| agreement.py | whether bill, ledger and budgets agree in the end |
| crash, crowd, cuts, full_disk, clock, laws, outages, paused, restarts, aborts, readers, bound | one experiment each |
| egress.py | another: where the proxy connects to, in a network of its own |
| watched_network.py, spellings.py | that network, and what is tried in it |
| scraped.py | another: what a Prometheus shows of several processes, beside the books |
"""
