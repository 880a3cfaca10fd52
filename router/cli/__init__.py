"""The command `penstock`: `main` (the tree of commands, errors as one sentence), `serve` (serve, check, sandbox),
`workers` (serve by several processes), `decisions` (explain), `replay`, `keys`, `accounts` (spend, reconcile),
`prompts` (what teams have kept), `catalog` (models), `evaluation` (what train and evaluate may be asked; what they do
is in `judging` and `ledger_judging`, which need more packages and which `late` loads), `output` (tables and formats).
`init` and `litellm`, a room, write new configurations, both by `new_config`; `doctor`, a room too, looks at what is
there.
"""
