"""What the operator and the teams wrote: `yaml_source` (YAML with positions), `schema` (the shape of the files),
`price_data` (prices of the genai-prices package), `loader` (files → `Snapshot`), `settings` (the environment).
"""
