"""The product on other servers than its own: the same process, assembled the same way, with another one under its ASGI.

`make bench-servers` installs granian, which the project does not depend on, measures what a request and a stream cost
beside nginx (`__main__.py`), and tries what an exposed server must do (`duties.py`). docs/decisions/0002 has the
figures and what follows from them.
"""
