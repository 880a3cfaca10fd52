"""The command `penstock`: `main` (the tree of commands, errors as one sentence), `serve` (serve, check, sandbox),
`decisions` (explain), `replay`, `accounts` (keys, spend, reconcile), `catalog` (models), `output` (tables and formats).
"""
