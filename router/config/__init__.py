"""What the operator and the teams wrote: `yaml_source` (YAML with positions), `schema` (the shape of the files),
`complaints` (pydantic's errors as sentences with a place), `references` (names used in one file and defined in another),
`price_data` (prices of the genai-prices package), `penstock_file`, `catalog_file`, `team_file` (each file as our values),
`loader` (a directory → `Snapshot`), `settings` (the environment), `editor_schemas` (JSON Schemas for editors).
"""
