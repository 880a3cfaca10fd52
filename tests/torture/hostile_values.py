"""Values that programs stumble over, as JSON, as header values, as paths; and JSON written as no library would."""

import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    """Bytes that stand in a body as they are, whatever they mean."""

    text: bytes

    def __repr__(self) -> str:
        return f"Literal({self.text[:60]!r}{'…' if len(self.text) > 60 else ''})"


@dataclass(frozen=True, slots=True)
class Twice:
    """A member that comes twice in its object."""

    first: object
    second: object


def written(value: object, *, as_ascii: bool = True) -> bytes:
    """JSON, but for what the value holds that JSON does not have. Half characters become bytes that are no UTF-8,
    unless all is written `as_ascii`."""
    match value:
        case Literal():
            return value.text
        case dict():
            members: list[bytes] = []
            for name, member in value.items():
                both = (member.first, member.second) if isinstance(member, Twice) else (member,)
                members += [
                    b"%b:%b" % (written(str(name), as_ascii=as_ascii), written(each, as_ascii=as_ascii))
                    for each in both
                ]
            return b"{%b}" % b",".join(members)
        case list():
            return b"[%b]" % b",".join(written(each, as_ascii=as_ascii) for each in value)
        case Twice():
            return written(value.second, as_ascii=as_ascii)
        case _:
            return json.dumps(value, ensure_ascii=as_ascii).encode("utf-8", "surrogatepass")


def _nested(opening: bytes, closing: bytes, depth: int, core: bytes = b"") -> Literal:
    return Literal(opening * depth + core + closing * depth)


def _vast_picture(side: int) -> str:
    """The head of a PNG that says it is that large, and nothing more."""
    data = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + data + struct.pack(">I", zlib.crc32(data))
    return f"data:image/png;base64,{b64encode(png).decode()}"


_RECURSIVE_SCHEMA = {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#/properties/b"}}}

# Texts of every kind that is read: by tokenizers, by rules that tell tasks, by parsers of addresses and of code.
TEXTS: Mapping[str, str] = {
    "nothing": "",
    "a blank": " ",
    "NUL": "\0",
    "controls": "".join(map(chr, range(32))) + "\x7f\x85\u2028\u2029",
    "line ends": "x\r\nx-injected: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "escape codes": "\x1b[2J\x1b]0;owned\x07",
    "half a character": "\ud800",
    "halves in the wrong order": "a\udfff\ud800b",
    "beyond the plane": "🏳️‍🌈𝒳" * 50,
    "right to left": "\u202egnirts\u202c\u2066\u2069",
    "marks upon marks": "e" + "\u0301" * 5_000,
    "no characters": "\ufffe\uffff\ufeff",
    "other digits": "١٢٣²",
    "digits": "1234567890" * 2_000,
    "a name": "x" * 300,
    "a path": "../../../../etc/passwd",
    "encoded": "%00%2e%2e%2f%u0000%",
    "SQL": "'; DROP TABLE entries; --",
    "a template": "{{7*7}}${7*7}<%= 7*7 %>{% raw %}",
    "a script": '"><script>alert(1)</script>',
    "a format": "%s%n{0.__class__}{}",
    "end of text": "<|endoftext|><|im_start|>system<|fim_prefix|>",
    "blanks": " " * 20_000,
    "a long word": "a" * 20_000,
    "a long word with an end": "a" * 20_000 + "!",
    "brackets": "([{<" * 5_000,
    "fences": "```" * 5_000,
    "fences open": "```python\n" * 1_000,
    "lines": "\n" * 20_000,
    "blank lines": " \n\t\n" * 5_000,
    "backslashes": "\\" * 10_000,
    "quotes": "\"'`" * 5_000,
    "dots": "." * 10_000 + "a",
    "powers": "$" + "^{x" * 3_000,
    "numbers": "1,000.00 " * 2_000,
    "addresses": "http://a.b/" * 1_000,
    "at signs": "a@" * 5_000,
    "hyphens": "-" * 10_000 + ">",
    "tags": "<a " * 4_000,
    "Chinese": "水电站的压力钢管" * 2_000,
    "Thai": "ประตูน้ำ" * 1_000,
    "JSON": '{"a":' * 2_000,
    "SQL in depth": "SELECT (" * 2_000,
    "code": "def f(x):\n  return f(" * 500,
    "a picture": "data:image/png;base64," + "A" * 40_000,
    "a picture of nothing": "data:image/png;base64,",
    "a picture of no base64": "data:image/png;base64,%%%\x00",
    "a picture of no kind": "data:,",
    "a picture as SVG": "data:image/svg+xml;utf8,<svg width='1e9' height='1e9'/>",
    "a vast picture": _vast_picture(2**31 - 1),
    "a picture without sides": _vast_picture(0),
    "a picture, cut": "data:image/jpeg;base64,/9j/4AAQSkZJRgABAQ" + "/8AAEQ" * 20,
    "a picture by no scheme": "javascript:alert(1)",
    "a picture by no host": "http://[::1",
    "the alias": "auto",
    "a model": "openai/gpt-5.4",
    "an arm": "deepseek/deepseek-v4-flash@high@none",
    "text": "text",
    "image_url": "image_url",
    "tool": "tool",
    "function": "function",
    "ephemeral": "1h",
    "1e999": "1e999",
    "NaN": "NaN",
}

VALUES: Mapping[str, object] = {
    **TEXTS,
    "null": None,
    "true": True,
    "false": False,
    "0": 0,
    "-1": -1,
    "1": 1,
    "129": 129,
    "2^31": 2**31,
    "2^53 + 1": 2**53 + 1,
    "2^63": 2**63,
    "-2^63 - 1": -(2**63) - 1,
    "2^64": 2**64,
    "10^30": 10**30,
    "5,000 digits": Literal(b"9" * 5_000),
    "100,000 digits": Literal(b"1" * 100_000),
    "1.5": 1.5,
    "1e2": Literal(b"1e2"),
    "-0.0": -0.0,
    "1e308": 1e308,
    "1e-400": Literal(b"1e-400"),
    "1e400": Literal(b"1e400"),
    "1e99999999": Literal(b"1e99999999"),
    "not a number": Literal(b"NaN"),
    "without end": Literal(b"-Infinity"),
    "01": Literal(b"01"),
    "a word": Literal(b"undefined"),
    "no value": Literal(b""),
    "no UTF-8": Literal(b'"\xff\xfe\xc0\x80"'),
    "half a pair": Literal(b'"\\ud83d"'),
    "a surrogate in UTF-8": Literal(b'"\xed\xa0\x80"'),
    "half an escape": Literal(b'"\\u12"'),
    "a text without end": Literal(b'"'),
    "a line end in a text": Literal(b'"\n"'),
    "an array": [],
    "an object": {},
    "an array of null": [None],
    "an array of objects": [{}],
    "an array of arrays": [[]],
    "an array of texts": ["", "a"],
    "ids": [1, 2, 3],
    "ids of all kinds": [1, -1, 2**70, 1.5, None],
    "many": Literal(b"[" + b",".join([b"1"] * 20_000) + b"]"),
    "many objects": Literal(b"[" + b",".join([b"{}"] * 5_000) + b"]"),
    "many texts": Literal(b"[" + b",".join([b'"a"'] * 3_000) + b"]"),
    "many members": Literal(b"{" + b",".join(b'"%d":0' % number for number in range(10_000)) + b"}"),
    "a member without a name": {"": ""},
    "a member of half a character": Literal(b'{"\\ud800":1}'),
    "a member that comes twice": {"type": Twice("text", "image_url"), "text": Twice("a", None)},
    "a long name": {"n" * 20_000: 1},
    "10 deep": _nested(b"[", b"]", 10),
    "150 deep": _nested(b"[", b"]", 150),
    "400 deep": _nested(b"[", b"]", 400),
    "700 deep": _nested(b'{"a":', b"}", 700, b"1"),
    "5,000 deep": _nested(b"[", b"]", 5_000),
    "100,000 deep": _nested(b"[", b"]", 100_000),
    "100,000 deep without end": Literal(b"[" * 100_000),
    "5,000 deep in objects": _nested(b'{"a":', b"}", 5_000, b"1"),
    "a text part": {"type": "text", "text": "Hi"},
    "a part without text": {"type": "text"},
    "a picture part": {"type": "image_url", "image_url": {"url": TEXTS["a vast picture"]}},
    "a picture part without one": {"type": "image_url", "image_url": {}},
    "an input picture": {"type": "input_image", "image_url": TEXTS["a vast picture"]},
    "an Anthropic picture": {
        "type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
    },
    "a document": {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
    "a result of a tool": {"type": "tool_result", "tool_use_id": "x", "content": [{"type": "tool_result"}]},
    "a use of a tool": {"type": "tool_use", "id": "x", "name": "x", "input": []},
    "a call": {"type": "function_call", "call_id": 1, "name": None, "arguments": {}},
    "a message": {"role": "user", "content": "Hi"},
    "a message of nobody": {"role": "root", "content": "Hi"},
    "a tool": {"type": "function", "function": {"name": "f", "parameters": _RECURSIVE_SCHEMA}},
    "a tool within a tool": {"type": "namespace", "name": "n", "tools": [{"type": "namespace", "tools": []}]},
    "a tool of the provider": {"type": "web_search"},
    "a schema of itself": _RECURSIVE_SCHEMA,
    "a schema of nothing": {"$ref": "http://169.254.169.254/#/$defs/a"},
    "a schema with a pattern": {"type": "string", "pattern": "^(a+)+$"},
    "a schema of bounds": {"maximum": Literal(b"1e400"), "multipleOf": 0, "minItems": -1},
    "a format": {"type": "json_schema", "json_schema": {"name": "x", "schema": _RECURSIVE_SCHEMA, "strict": True}},
    "a ceiling": {"max_price": {"prompt": Literal(b"1e-400"), "completion": Literal(b"1e400")}},
    "a thought": {"effort": "max", "max_tokens": 2**40, "enabled": None},
}  # fmt: skip

VAST: Mapping[str, object] = {
    "a megabyte of blanks": " " * 2**20,
    "a megabyte of a": "a" * 2**20,
    "a megabyte of line ends": "\n" * 2**20,
    "a megabyte of words": "water " * (2**20 // 6),
    "a megabyte of digits": "0" * 2**20,
    "a megabyte of marks": "!?" * 2**19,
}
"""Each of them takes a while to be sent."""

# As bytes that may stand in one line of a head.
HEADERS: Mapping[str, bytes] = {
    "nothing": b"",
    "0": b"0",
    "1": b"1",
    "0.9": b"0.9",
    "-1": b"-1",
    "1e999": b"1e999",
    "1e-999999999": b"1e-999999999",
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "digits": b"9" * 4_000,
    "small": b"0." + b"0" * 3_000 + b"1",
    "other digits": "١٢٣²".encode(),
    "Latin-1": b"\xe9\xff\xa0",
    "no characters": b"\xff\xfe\x80",
    "tabs": b"\t,\t,\t",
    "commas": b"," * 2_000,
    "names": b"a,b,c,d,e,f,g,h,i,j,k",
    "long": b"x" * 6_000,
    "half of the world": "水".encode() * 1_000,
    "a path": b"../../etc/passwd",
    "SQL": b"'; DROP TABLE entries; --",
    "a template": b"{{7*7}}${jndi:ldap://x/}",
    "escape codes as text": b"\\x1b[2J%0d%0ax:y",
    "quotes": b'""";;=,' * 50,
    "a trace": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "a trace of nothing": b"00-00000000000000000000000000000000-0000000000000000-00",
    "a trace to come": b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
    "states": b"a=1," * 600,
    "a policy": b"checked",
    "nobody": b"no-such-policy",
    "Basic": b"Basic OjpcZmY=",
    "Basic without end": b"Basic " + b"=" * 3_000,
    "Bearer": b"Bearer psk_0123456789abcdef_" + b"A" * 60,
    "Bearer of Latin-1": b"Bearer psk_\xe9_\xff",
    "two words": b"bearer  bearer",
}

TARGETS: tuple[bytes, ...] = (
    b"/v1/chat/completions/", b"/v1//chat/completions", b"//v1/models", b"/v1/models/", b"/v1/models/%00",
    b"/v1/models/%ff%fe", b"/v1/models/%2e%2e%2f%2e%2e", b"/v1/models/../../admin/spend", b"/v1/models/auto%2F",
    b"/v1/models/deepseek%2Fdeepseek-v4-flash", b"/v1/models/%E6%B0%B4", b"/v1/models/%", b"/v1/models/%zz",
    b"/v1/models?" + b"a=b&" * 1_000, b"/v1/models/" + b"x" * 7_000, b"/v1/models;a=b", b"/v1/models#x",
    b"/V1/MODELS", b"/v1/messages/", b"/v1/messages/batches", b"/v1/messages/count_tokens/x", b"/admin/spend",
    b"/admin/", b"/admin/../metrics", b"/metrics", b"/livez?x", b"/livez/", b"/", b"/%2e/", b"/\xff\xfe",
    b"/v1/\xe6\xb0\xb4",
    b"/static/../app.py", b"/static/%2e%2e/app.py", b"/static/console.css?v=1", b"/static/", b"/static",
    b"/requests/", b"/requests/%00", b"/requests/" + b"%ff" * 500, b"/teams/%2e%2e", b"/teams/", b"/replay/../x",
    b"/replay/%2e%2e%2fpenstock.sqlite", b"/replay/" + b"a" * 3_000, b"/replay/%00", b"/explain?request=%00",
    b"/requests?after=%00", b"/requests?after=" + b"A" * 4_000, b"/requests?since=9999-12-31T23:59:59-23:59",
    b"/requests?since=0001-01-01T00:00:00%2B23:59", b"/admin/spend?since=99999d", b"/admin/spend?since=0001-01-01",
    b"/admin/requests?limit=%C2%B2", b"/admin/requests?limit=" + b"9" * 5_000, b"/admin/labels?team=%00&limit=1",
    b"/" + b"?" * 9_000, b"/live?seen=" + b"0" * 9_000, b"/live?range=%00", b"/?" + b"a&" * 30,
)  # fmt: skip


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in the value something stands, itself first."""
    found = [path]
    if isinstance(value, dict):
        for name, member in value.items():
            found += places(member, (*path, name))
    elif isinstance(value, list):
        for number, member in enumerate(value):
            found += places(member, (*path, number))
    return found
