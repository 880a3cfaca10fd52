"""The command `penstock`: `main` (the tree of commands, errors as one sentence), `serve` (serve, check, sandbox),
`decisions` (explain), `replay`, `accounts` (keys, spend, reconcile), `catalog` (models), `evaluation` (train, evaluate),
`output` (tables and formats). What train and evaluate do needs more packages: `judging`, which `late` loads.
"""
