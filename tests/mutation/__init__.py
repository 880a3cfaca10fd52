"""Mutation testing: do the tests notice when the code that reckons with money is changed? `make mutation` asks.

mutmut makes one small change after the other and runs the tests that reach the changed function; `[tool.mutmut]` in
pyproject.toml names the modules and the tests. docs/reliability.md, "Mutation score", says what came of it.

| file | what |
|---|---|
| plugin.py | how pytest runs meanwhile: always the same examples, quick tests first |
| score.py | what mutmut found out, module by module |
| __main__.py | runs mutmut, prints the table, exits with 1 below the required score |
"""
