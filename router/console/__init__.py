"""What people look at on the admin port: `app` (the ASGI application: routes, headers, forms), one file a page
(`overview`, `requests`, `explain`, `replay`, `models`, `teams`, `feedback`, `audit`), `visiting` (who looks),
`sources` (what pages ask of the process),
`rendering` (templates, how figures are written), `drawing` (bars, sparklines and plots as numbers that templates draw),
`explaining` (decisions for a new request or one of the ledger), `replays` (replays that run in processes of their own).

Pages are made on the server and need no script; scripts refresh what is live, and draw what is spent over time. All of
it is in `static` and `templates`: nothing is loaded from elsewhere (docs/console.md).
"""
