"""What the operator and the teams wrote, as one `Snapshot`.

`yaml_source` reads YAML with positions; `schema` is the shape of the files, a module for each part; `complaints` turns
pydantic's errors into sentences with a place, of parts that `sentences` has; `references` finds names that nothing
answers to, `notes` what is of no use; `price_data` has the prices of the genai-prices package; `penstock_file`,
`catalog_file` and `team_file` make our values of each kind of file, `traces` of one section and of OpenTelemetry's
variables; `loader` does it for a whole directory, of which `files` reads the bytes. `settings` reads the environment,
`text_heads` the shipped text head, `editor_schemas` writes JSON Schemas for editors. While a process serves, `watching`
tells whether files have changed, and `restart` keeps back what waits for the next start.
"""
