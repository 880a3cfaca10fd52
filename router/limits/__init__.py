"""Who may spend, and how fast: `gate` (what is asked, what is granted, the protocol), `memory` (one process), `redis`.

Behind `redis`, the gate of many processes: `functions` (the edge), `calendar` (windows by the server's clock),
`holdings` (what this process has there), `rebuild` (after a loss), and the Lua library itself.
"""
