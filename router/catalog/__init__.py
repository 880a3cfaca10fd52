"""What can be bought: `catalog` (models, providers, deployments, what each can do), `prices` (what each costs when),
`prompt_caches` (whose cache keeps which prompts)."""
