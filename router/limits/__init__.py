"""Who may spend, and how fast: `gate` (what is asked, what is granted, the protocol), `memory` (one process)."""
