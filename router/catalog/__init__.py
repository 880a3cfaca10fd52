"""What can be bought: `catalog` (models, providers, deployments and what each can do), `prices` (what each costs, when)."""
