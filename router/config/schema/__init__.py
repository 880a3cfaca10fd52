"""The shape of the three kinds of file, and what each key means. A key is where it stands in the file:

penstock     `penstock.yaml`: ports, state, time-outs, providers
models       `models.yaml`: capabilities, figures of quality, efforts, prices, deployments
teams        `teams/NAME.yaml`: budgets, limits, aliases, cache, the team's own figures
policies     `policies` of a team and their `rules`: candidates, objective, limits, data, shares, shadow
conditions   `when` of a rule
checks       `verify` of a policy or rule
values       what single values may be: names, dates, dollars, shares

What can be judged by looking at one value, or at one entry, is judged here; what needs a second file is judged in
`references`. The descriptions are for the editor: they travel in the JSON Schemas.
"""
