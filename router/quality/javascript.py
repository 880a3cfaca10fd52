"""Whether a text is JavaScript, by esprima-fork. Imported only where a policy checks it (assembly/deciding.py)."""

import re

import esprima

from router.quality.schemas import CannotVerify

_OPTIONS = {"jsx": True}
_BARE_RETURN = "Illegal return statement"  # esprima-fork 5.0, messages.py
_HASHBANG = re.compile(r"\A#![^\r\n\u2028\u2029]*")


def parses_javascript(code: str) -> bool:
    """Whether it is a module, a script in sloppy mode, or what stands within a function; JSX may be in it.

    Models show the inside of a function by itself, where `return` is, and `await` may be; a module that returns is
    none, and so is code that closes more than it opens. Parses at most twice, as that is what is charged for
    (quality/code.py). Raises CannotVerify if the parser fails.
    """
    try:
        _statements(code, is_module=True)
    except esprima.Error as error:
        if _BARE_RETURN in str(error):  # a script must not do that either
            return _is_body(code, of="async function")
    else:
        return True
    # A function takes all that a script does, but for the hashbang.
    return _is_body(code, of="function")


def _is_body(code: str, *, of: str) -> bool:
    try:
        # A brace too many ends the function early, and what follows it is a statement of its own.
        return _statements(f"{of} f() {{\n{_HASHBANG.sub('', code)}\n}}", is_module=False) == 1
    except esprima.Error:
        return False


def _statements(code: str, *, is_module: bool) -> int:
    """How many stand in the outermost block. Raises esprima.Error, or CannotVerify."""
    parse = esprima.parseModule if is_module else esprima.parseScript
    try:
        return len(parse(code, _OPTIONS).body)
    except (RecursionError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Its own slips on code that nobody writes must not become an error of the request.
        raise CannotVerify("the parser of JavaScript gave up") from error
