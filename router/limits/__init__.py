"""Who may spend, and how fast: `gate` (what is asked, what is granted, the protocol), `memory` (one process), `redis`
(many), `paces` (rates as one process counts them), `queues` (who waits in front of a gate), `refusals` (what is said to
those who may not). What a process as a whole lets in: `overload`, divided among teams by `shares`.

Behind `redis`: `functions` (the edge, and the Lua library), `link` (whether it can be asked), `calendar` (windows by
the server's clock), `holdings` (what this process has there), `deliveries` (what it must be told), `rebuild` (after a
loss), `slices` (money held beforehand, for while it is away).
"""
