"""Real clients, each as its users install it, against the proxy in front of the sandbox: `make test-clients`.

`programs` holds one small program for each client: a test for each feature, as its user would use it. They share
nothing with the rest and run in environments of their own, since clients disagree on versions. `table.py` runs all of
them and says what came of it; docs/clients.md keeps that table.
"""
