"""Whether a text is JavaScript, by esprima-fork. Imported only where a policy checks it (assembly/deciding.py)."""

import esprima

from router.quality.schemas import CannotVerify

_OPTIONS = {"jsx": True}


def parses_javascript(code: str) -> bool:
    """Whether it is a module, or a script in sloppy mode; JSX may be in it. Raises CannotVerify if the parser fails."""
    return _parses(code, is_module=True) or _parses(code, is_module=False)


def _parses(code: str, *, is_module: bool) -> bool:
    parse = esprima.parseModule if is_module else esprima.parseScript
    try:
        parse(code, _OPTIONS)
    except esprima.Error:
        return False
    except (RecursionError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Its own slips on code that nobody writes must not become an error of the request.
        raise CannotVerify("the parser of JavaScript gave up") from error
    return True
