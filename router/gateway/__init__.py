"""Carries one request: `dispatch` (`Gateway`, made once for each configuration), `in_force` (the one in force),
`reload` (when another takes its place), `planning` (request → decision), `profile` (what the decision
may know of it), `exchange` (one request from admission to settlement), `call` (one attempt at a provider and what it
is booked at), `answer` (a streamed one), `settlement` (the arithmetic), `reconcile` (what is made good afterwards),
`conversation` (which one a request belongs to), `shadow` (copies to a model that is only measured), `escalation` (who
comes after an answer that failed a check), `live_prices` (the prices in force), `feedback` (clients' scores of
answers), `labelling` (what they and other signs say of answers, to be learned from), `versions` (which version of
its model a provider answers by), `prompts` (what teams have kept of their requests, on its way to the store).
"""
