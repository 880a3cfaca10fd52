"""How a choice is made, purely: `facts` go in (`RequestProfile`, `Conditions`), a team's `policy` is applied,
every deployment gets an `estimate`, `eligibility` says who may, `ranking` who comes first; `decide` is the one
function that production, `explain` and `replay` call, and `explain` puts its `Decision` into words. Of a policy,
`matching` says when a rule applies, `data_rules` who may see the prompt, `effort` how hard to think, `arms` which
share of an experiment a request falls to, `exploring` who is tried now and then so that it is judged too, `lots` how
likely each was to be the first, `cascading`
whether a cheap model goes first because it is checked, and `recorded` keeps what a decision was made in. What stands in
a policy is an `Arm`, a model at an effort or without one; of each deployment of its model it makes a `Candidate`.
"""
