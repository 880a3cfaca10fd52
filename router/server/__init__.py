"""HTTP in, HTTP out: `app` (both ASGI applications and their routes), `auth` (key → caller), `addresses` (where a
request comes from), `openai` (the data port's endpoints; the response that owns the settlement), `feedback` (scores
of answers), `admin` (metrics and JSON for operators), `configuration` (the one in force; read it anew), `explaining`
(decisions as JSON), `paces` (what is left of a minute), `replies` (how answers and errors are sent), `shedding`
(what is turned away), `life` (start and stop), `listen` (sockets), `connections` (one client's, guarded), `edge`
(what is refused there), `deadlines` (how long is waited), `answering` (answers on the wire), `workers` (several
processes, and their parent), `supervision` (what systemd is told). Who may do what on the admin port: `admin_port`
(its one door, and the table of routes), `admin_tokens`, `sessions` (cookies), `signing_in` (the page, and the way
out), `throttle` (how often somebody may be wrong).
Middleware is plain ASGI.
"""
