"""Whether the code in an answer parses: `CodeChecker`. Nothing is ever run.

The code of an answer is its fenced blocks, or all of it where there is none. What parses Python and JSON is here; for
SQL and JavaScript a parser is given, since only few policies want one. Every parser holds the interpreter's lock, so
what it would take at worst is spent from `Patience` before: the figures are the most that hostile code took of each
parser, per byte and per sign, over thousands of patterns repeated and mixed (docs/decisions/0010-code-that-parses.md).
"""

import ast
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from textwrap import dedent
from typing import NamedTuple

import msgspec

from router.quality.schemas import CannotVerify, Patience, read_json

MAX_ANSWER_CHARS = 512 * 1024  # looked through for blocks
_MOST_BLOCKS = 64

Parses = Callable[[str], bool]
"""Whether a text is a program of the language. Raises CannotVerify if the parser gives up on it."""


class CodeLanguage(StrEnum):
    """The name of a language in the configuration."""

    PYTHON = "python"
    JSON = "json"
    SQL = "sql"
    JAVASCRIPT = "javascript"


class Block(NamedTuple):
    """A fenced block of an answer."""

    tag: str  # the language written behind the fence, in lower case; "" where none is
    code: str


# A session in Python's console: what was typed stands behind prompts, what was printed does not.
_CONSOLES = frozenset({"pycon", "python-console", "python-repl", "pyrepl"})
# What is not here is another language: TypeScript (ts, tsx), JSON with comments (jsonc, json5) or by lines (jsonl,
# ndjson), and Python with the magics of a notebook (ipython), since the parsers refuse what is right in those.
_TAGS: Mapping[str, CodeLanguage] = {
    **dict.fromkeys(("python", "py", *_CONSOLES), CodeLanguage.PYTHON),
    **dict.fromkeys(("json", "geojson", "jsonld", "json-ld"), CodeLanguage.JSON),
    **dict.fromkeys(
        ("sql", "postgresql", "postgres", "pgsql", "mysql", "sqlite", "sqlite3", "tsql", "bigquery", "snowflake"),
        CodeLanguage.SQL,
    ),
    **dict.fromkeys(
        ("javascript", "js", "jsx", "mjs", "cjs", "node", "nodejs", "node.js", "ecmascript", "es6"),
        CodeLanguage.JAVASCRIPT,
    ),
}
_VERSION_OF_PYTHON = re.compile(r"(?:python|py)-?3(?:\.\d{1,2}){0,2}")

# Possessive throughout: whoever ends such a line with a backtick would else have it tried in as many ways as it has
# characters, cubed (5 s for 1,500 tildes).
_FENCE = re.compile(r"^([ \t]*+(?:>[ \t]*+)?+)(`{3,}+|~{3,}+)[ \t]*+([^`\n]*+)$")
# Behind it the language, and then whatever the renderer is told: `python title=x`, `js{1,3-4}`, `py:app.py`, `python=`.
_TAG = re.compile(r"[^\s{},:=]*+")
# Pandoc's `{.python .numberLines}`, `{#id .py}` and `{=html}`, R Markdown's `{python, echo=FALSE}`.
_CLASS_IN_BRACES = re.compile(r"(?<!\S)\.([^\s{},=]++)")
_WORD_IN_BRACES = re.compile(r"=?([\w+-]++)(?!=)")
_MOST_TAG_CHARS = 200

_PROMPTED = re.compile(r"[ \t]*+(?:>>>|\.\.\.)(?: |$)")
_PROMPT = ">>>"  # no program begins with it, so what does is a session, whatever its tag


class _Cost(NamedTuple):
    """What parsing takes at worst, in nanoseconds."""

    byte: float
    sign: float = 0.0  # for each byte that is no letter, digit, blank or underscore, and for each line


# Measured on one core of 2026, 16 kB (4 kB of JavaScript) of hostile code each, and rounded up. Of ordinary code Python
# takes 0.5 us a byte, SQL 0.13 and JavaScript 2.1: so what is looked at is 10 kB, 4 kB and 3 kB of it.
_COSTS: Mapping[CodeLanguage, _Cost] = {
    CodeLanguage.PYTHON: _Cost(byte=600, sign=2_500),
    CodeLanguage.SQL: _Cost(byte=2_500),
    CodeLanguage.JAVASCRIPT: _Cost(byte=1_500, sign=13_000),
}
# Beyond, its parser of SQL takes 30 us for each level more, as if it had to make room for them.
_MOST_SQL_LEVELS = 150
_OPENS_IN_SQL = re.compile(rb"[(\[{]|\bcase\b|->|=>", re.IGNORECASE)
_CLOSES_IN_SQL = re.compile(rb"[)\]}]|\bend\b", re.IGNORECASE)
_SEARCH_CHAR_NS = 5.0
_SEARCH_LINE_NS = 400
_SESSION_LINE_NS = 1_000
_SIGNS = re.compile(rb"[^A-Za-z0-9_ \t\x80-\xff]")


class CodeChecker:
    """Looks for code of some languages in answers."""

    def __init__(self, parsers: Mapping[CodeLanguage, Parses]) -> None:
        """`parsers` of SQL and JavaScript; a language without one cannot be verified."""
        self._parsers = {CodeLanguage.PYTHON: _parses_python, **parsers}

    def passes(self, text: str, languages: Sequence[CodeLanguage], patience: Patience) -> bool:
        """Whether the code in an answer parses.

        - Every block that is tagged with one of the languages must parse as that.
        - Where none is tagged so, one of the blocks without a tag must parse as one of the languages; blocks of other
          languages are no concern of the check.
        - An answer without any block is itself taken for code.

        Raises CannotVerify if finding out would take long.
        """
        blocks = fenced_blocks(text, patience)
        if not blocks:
            return self._is_any(text, languages, patience)
        tagged = [(block, language) for block in blocks if (language := language_tagged(block.tag)) in languages]
        if tagged:
            return all(
                self._is(language, _written(block, patience), patience) for block, language in tagged if language
            )
        bare = [block for block in blocks if not block.tag]
        return not bare or any(self._is_any(block.code, languages, patience) for block in bare)

    def _is_any(self, code: str, languages: Sequence[CodeLanguage], patience: Patience) -> bool:
        return any(self._is(language, code, patience) for language in languages)

    def _is(self, language: CodeLanguage, code: str, patience: Patience) -> bool:
        if language is CodeLanguage.PYTHON and code.lstrip().startswith(_PROMPT):
            code = _typed(code, patience)
        if not code.strip():
            return False
        if language is CodeLanguage.JSON:
            return _parses_json(code, patience)
        parses = self._parsers.get(language)
        if parses is None:
            raise CannotVerify(f"nothing is installed that parses {language.value}")
        try:
            content = code.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, as JSON can write it
            return False
        cost = _COSTS[language]
        patience.spend(len(content) * cost.byte)
        patience.spend(len(_SIGNS.findall(content)) * cost.sign)
        if language is CodeLanguage.SQL and _sql_levels(content) > _MOST_SQL_LEVELS:
            raise CannotVerify(f"SQL nested deeper than {_MOST_SQL_LEVELS} levels")
        return parses(code)


def _tag(info: str) -> str:
    """The language among what stands behind a fence."""
    if not info.startswith("{"):
        found = _TAG.match(info, 0, _MOST_TAG_CHARS)
        return "" if found is None else found[0].lower()
    inside = info[1:_MOST_TAG_CHARS].partition("}")[0].strip()
    found = _CLASS_IN_BRACES.search(inside) or _WORD_IN_BRACES.match(inside)
    return "" if found is None else found[1].lower()


def _written(block: Block, patience: Patience) -> str:
    """The code of a block; of one that is tagged as a session, and has prompts, what was typed."""
    return (_typed(block.code, patience) or block.code) if block.tag in _CONSOLES else block.code


def _typed(session: str, patience: Patience) -> str:
    """What was typed in a session of Python's console, without prompts and what was printed."""
    patience.spend(session.count("\n") * _SESSION_LINE_NS)
    lines = (line for line in session.split("\n") if _PROMPTED.match(line))
    return "\n".join(line.lstrip(" \t")[4:] for line in lines)


def _sql_levels(content: bytes) -> int:
    """How many levels deep it may be nested: never less than it is, more where text in quotes looks like nesting."""
    changes = [(found.start(), 1) for found in _OPENS_IN_SQL.finditer(content)]
    if len(changes) <= _MOST_SQL_LEVELS:
        return len(changes)
    changes += [(found.start(), -1) for found in _CLOSES_IN_SQL.finditer(content)]
    level = deepest = 0
    for _, change in sorted(changes):
        level = max(level + change, 0)
        deepest = max(deepest, level)
    return deepest


def language_tagged(tag: str) -> CodeLanguage | None:
    """The language that a tag, in lower case, names; None if it is none of ours."""
    return CodeLanguage.PYTHON if _VERSION_OF_PYTHON.fullmatch(tag) else _TAGS.get(tag)


def fenced_blocks(text: str, patience: Patience) -> list[Block]:
    """The blocks between fences of Markdown, less what they are indented by. One that is not closed is one too.

    Raises CannotVerify if there is too much to look at.
    """
    if len(text) > MAX_ANSWER_CHARS:
        raise CannotVerify(f"{len(text)} characters; at most {MAX_ANSWER_CHARS} are looked through for code")
    patience.spend(len(text) * _SEARCH_CHAR_NS)
    if "```" not in text and "~~~" not in text:
        return []
    patience.spend(text.count("\n") * _SEARCH_LINE_NS)
    blocks: list[Block] = []
    fence, indent, tag = "", "", ""
    lines: list[str] = []
    # No `splitlines`: what it takes for the end of a line, such as U+2028, may stand in a string of the code.
    for line in text.replace("\r\n", "\n").split("\n"):
        found = _FENCE.match(line) if "```" in line or "~~~" in line else None
        if not fence:
            if found is not None:
                indent, fence, tag = found[1], found[2], _tag(found[3])
                lines = []
        elif found is not None and not found[3].strip() and found[2][0] == fence[0] and len(found[2]) >= len(fence):
            blocks.append(Block(tag, "\n".join(lines)))
            fence = ""
        else:
            # A blank line of a quotation is often a `>` with nothing behind it.
            lines.append("" if line == indent.rstrip() else line.removeprefix(indent))
    if fence:
        blocks.append(Block(tag, "\n".join(lines)))
    if len(blocks) > _MOST_BLOCKS:
        raise CannotVerify(f"{len(blocks)} blocks of code; at most {_MOST_BLOCKS} are looked at")
    return blocks


def _parses_python(code: str) -> bool:
    """By the parser of the Python that we run on: what is newer fails, and Python 2 does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of strings like "\d", to whoever runs us
        try:
            compile(dedent(code), "<answer>", "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        except (SyntaxError, ValueError):  # ValueError: a null byte, or a number of thousands of digits
            return False
        except (RecursionError, MemoryError) as error:  # how it says that its stack, which is bounded, is full
            raise CannotVerify("Python nested deeper than its parser goes") from error
    return True


def _parses_json(code: str, patience: Patience) -> bool:
    try:
        read_json(code, patience)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True
