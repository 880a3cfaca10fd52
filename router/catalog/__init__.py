"""What can be bought: `catalog` (models, providers, deployments, what each can do), `prices` (what each costs when),
`prompt_caches` (whose cache keeps which prompts).

What providers tell of prices while we run: `listing` (OpenRouter's list of models, read), `tariffs` (a price for every
hour of the day), `book` (the dated history of them, and what a new reading changes).
"""
