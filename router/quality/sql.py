"""Whether a text is SQL, by polyglot-sql. Imported only where a policy checks SQL (assembly/deciding.py)."""

import polyglot_sql

from router.quality.schemas import CannotVerify

# What most dialects have in common, and for names in brackets SQL Server's.
_DIALECTS = ("generic", "tsql")


def parses_sql(code: str) -> bool:
    """Whether it is one or more statements. Raises CannotVerify if the Rust side panics."""
    dialects = _DIALECTS if "[" in code else _DIALECTS[:1]
    try:
        return any(polyglot_sql.validate(code, dialect=dialect).valid for dialect in dialects)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # pyo3's, a BaseException that it gives no way to import
            raise
        raise CannotVerify("the parser of SQL panicked") from None
