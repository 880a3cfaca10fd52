"""How a choice is made, purely: `facts` go in (`RequestProfile`, `Conditions`), a team's `policy` is applied,
every deployment gets an `estimate`, `eligibility` says who may, `ranking` who comes first; `decide` is the one
function that production, `explain` and `replay` call, and `explain` puts its `Decision` into words.
"""
