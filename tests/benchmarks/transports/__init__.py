"""Our upstream transport beside others that could take its place: CPU in the client's process alone.

`make bench-transports` installs what is compared, which the project does not depend on (`requirements.txt`), and
measures it.
`contenders.py` says who is compared, `asker.py` is the process of one of them, `front.py` the server that they ask over
TLS, and `__main__.py` runs the rounds. docs/decisions/0001
and 0009 have the figures and what follows from them.
"""
