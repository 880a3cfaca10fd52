"""matrix: every route of both ports, asked for with every kind of credentials, by every way to write its path or host.

The routes are those of the two tables that the server is made of; what is expected of each stands here, line by line,
so that a route that is new, or asks for another role than before, has to be looked at by somebody.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from tests.torture.ports import Credentials, Header, Served, served
from tests.torture.result import Result, at_least, equal, none, told
from tests.torture.setting import Setting

TITLE = "nobody gets in where he may not"

# Who may, by method and path. `anyone`, `key`, or the least role.
DATA: Mapping[tuple[str, str], str] = {
    ("POST", "/v1/chat/completions"): "key",
    ("POST", "/v1/responses"): "key",
    ("POST", "/v1/messages"): "key",
    ("POST", "/v1/completions"): "key",
    ("POST", "/v1/embeddings"): "key",
    ("POST", "/v1/moderations"): "key",
    ("POST", "/v1/messages/count_tokens"): "key",
    ("POST", "/v1/feedback"): "key",
    ("GET", "/v1/models"): "key",
    ("GET", "/v1/models/{model_id:path}"): "key",
    ("GET", "/livez"): "anyone",
    ("HEAD", "/livez"): "anyone",
    ("GET", "/healthz"): "anyone",
    ("HEAD", "/healthz"): "anyone",
    ("GET", "/readyz"): "anyone",
    ("HEAD", "/readyz"): "anyone",
}

_LISTS = ("/requests", "/requests/*", "/replay", "/replay/*", "/teams", "/teams/*")
_PAGES = ("/", "/live", *_LISTS, "/models", "/feedback", "/audit")
ADMIN: Mapping[tuple[str, str], str] = {
    **{(method, path): "anyone" for path in ("/livez", "/healthz", "/readyz") for method in ("GET", "HEAD")},
    **{(method, path): "anyone" for path in ("/static/*", "/sign-in") for method in ("GET", "HEAD")},
    **{(method, path): "viewer" for path in _PAGES for method in ("GET", "HEAD")},
    ("GET", "/metrics"): "viewer",
    ("GET", "/admin/spend"): "viewer",
    ("GET", "/admin/requests"): "viewer",
    ("GET", "/admin/budgets"): "viewer",
    ("GET", "/admin/labels"): "viewer",
    ("GET", "/admin/quality"): "viewer",
    ("GET", "/admin/config"): "viewer",
    ("GET", "/admin/explain"): "operator",
    ("POST", "/admin/explain"): "operator",
    ("POST", "/admin/reload"): "operator",
    ("GET", "/explain"): "operator",
    ("HEAD", "/explain"): "operator",
    ("POST", "/explain"): "operator",
    ("POST", "/replay"): "operator",
    ("POST", "/replay/*"): "operator",
    ("POST", "/sign-in"): "anyone",
    ("POST", "/sign-out"): "viewer",
}

# What stands for what is below a path. There is no such request and no such replay, which 404 says to who may ask.
_SAMPLES = {
    "/requests/*": "/requests/req_1",
    "/replay/*": "/replay/0123456789ab",
    "/teams/*": "/teams/search",
    "/static/*": "/static/console.css",
    "/v1/models/{model_id:path}": "/v1/models/auto",
}
_MAY_BE_MISSING = frozenset({"/requests/*", "/replay/*", "/admin/explain"})
_ROLES = ("viewer", "operator", "owner")
_LEAST = {"anyone": 0, "viewer": 1, "operator": 2, "owner": 3}
_REFUSED = frozenset({401, 403, 404, 405, 421, 429})


@dataclass
class Seen:
    """Cells, and those that were not as expected."""

    cells: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def cell(self, kind: str, told: str, status: int, *, is_right: bool) -> None:
        self.cells += 1
        self.kinds[kind] += 1
        if not is_right:
            self.wrong.append(f"{kind}: {told} → {status}")


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    async with served(setting.directory) as server:
        unlisted = unexpected(server)
        seen = Seen()
        await _each_route(server, seen)
        await _tricks(server, seen, is_short=setting.is_short)
        await _hosts(server, seen, is_short=setting.is_short)
        await _other_port(server, seen)
    for each in (*unlisted, *seen.wrong[:40]):
        print(each)  # noqa: T201 - for who reads why it failed
    figures = [
        none("routes without a line here, and lines without a route", len(unlisted)),
        equal("routes", len(server.house.routes.data) + len(server.house.routes.admin), len(DATA) + len(ADMIN)),
        at_least("cells", seen.cells, 3_000 if setting.is_short else 15_000),
        none("cells that are not as they should be", len(seen.wrong)),
        *(told(f"  {kind}", number) for kind, number in seen.kinds.items()),
    ]
    return Result("matrix", TITLE, command, tuple(figures), time.monotonic() - started_s)


def unexpected(server: Served) -> list[str]:
    """Where this file and the tables differ."""
    routes = server.house.routes
    admin = {(route.method, route.path): route.needs.word for route in routes.admin}
    found = [f"data port: {each}" for each in set(routes.data) ^ DATA.keys()]
    return found + [f"admin port: {each}" for each in set(admin.items()) ^ set(ADMIN.items())]


def _all(server: Served) -> list[Credentials]:
    return [
        Credentials("nothing", []),
        Credentials("a wrong token", [("authorization", "Bearer " + "0" * 48)]),
        Credentials("a wrong password", [("authorization", "Basic YTpi")]),
        Credentials("a wrong cookie", [("cookie", "penstock-session=AAAA.AAAA; __Host-penstock=AAAA.AAAA")]),
        *(server.key(kind) for kind in server.keys),
        *(server.token(role) for role in _ROLES),
        *(server.session(role) for role in _ROLES),
    ]


async def _each_route(server: Served, seen: Seen) -> None:
    for method, path in server.house.routes.data:
        for credentials in _all(server):
            status = await _data_status(server, method, _SAMPLES.get(path, path), credentials)
            is_in = DATA[method, path] == "anyone" or credentials.name in ("valid key", "other team's key")
            right = status not in _REFUSED if is_in else status == 401
            seen.cell("data port, by credentials", f"{method} {path} by {credentials.name}", status, is_right=right)
    for route in server.house.routes.admin:
        for credentials in _all(server):  # new for each: one of them signs out
            sample = _sample(route.path)
            await _admin_cell(server, seen, "admin port, by credentials", route.method, sample, credentials)


async def _tricks(server: Served, seen: Seen, *, is_short: bool) -> None:
    for route in server.house.routes.admin:
        if route.method == "HEAD":
            continue
        for target in spellings(_sample(route.path)):
            for credentials in _some(server, is_short=is_short):
                await _admin_cell(server, seen, "admin port, by spelling", route.method, target, credentials)
    others = [] if is_short else [server.key("revoked"), server.key("expired"), server.session("owner")]
    for method, path in server.house.routes.data:
        for target in spellings(_SAMPLES.get(path, path)):
            for credentials in (Credentials("nothing", []), server.token("owner"), *others):
                status = await _data_status(server, method, target, credentials)
                is_public = ("GET", unquote(target.partition("?")[0])) in DATA and DATA.get(
                    (method, _path(target))
                ) == "anyone"
                right = status in (200, 400) if is_public else status in (400, 401)
                seen.cell("data port, by spelling", f"{method} {target} by {credentials.name}", status, is_right=right)


async def _hosts(server: Served, seen: Seen, *, is_short: bool) -> None:
    for route in server.house.routes.admin:
        if is_short and route.method == "HEAD":
            continue
        sample = _sample(route.path)
        for headers in _DECEPTIONS:
            for credentials in _some(server, is_short=is_short):
                if is_short and credentials.role is not None:
                    continue
                await _admin_cell(server, seen, "admin port, by headers", route.method, sample, credentials, headers)
        for target in (f"http://localhost{sample}", f"http://elsewhere.example{sample}"):
            await _admin_cell(
                server, seen, "admin port, by absolute form", route.method, target, Credentials("nothing", [])
            )
        for name in ("x-original-url", "x-rewrite-url", "x-forwarded-uri", "x-forwarded-path"):
            answer = await server.admin.ask("GET", "/livez", [(name, sample)])
            right = answer.status == 200 and answer.body == b'{"status":"ok"}'
            seen.cell("admin port, by another address in a header", f"{name}: {sample}", answer.status, is_right=right)


async def _other_port(server: Served, seen: Seen) -> None:
    """What is on one port is not on the other."""
    for route in server.house.routes.admin:
        if (route.method, route.path) in DATA:
            continue
        for credentials in _all(server):
            status = await _data_status(server, route.method, _sample(route.path), credentials)
            right = status == (404 if credentials.name in ("valid key", "other team's key") else 401)
            seen.cell("admin routes on the data port", f"{route.method} {route.path}", status, is_right=right)
    for method, path in server.house.routes.data:
        if (method, path) in ADMIN:
            continue
        for credentials in _all(server):
            target = _SAMPLES.get(path, path)
            await _admin_cell(server, seen, "data routes on the admin port", method, target, credentials)


async def _data_status(server: Served, method: str, target: str, credentials: Credentials) -> int:
    body = b"{}" if method == "POST" else b""
    headers = [*credentials.headers, ("content-type", "application/json")]
    return (await server.data.ask(method, target, headers, body)).status


async def _admin_cell(
    server: Served,
    seen: Seen,
    kind: str,
    method: str,
    target: str,
    credentials: Credentials,
    headers: Sequence[Header] = (),
) -> None:
    body = b""
    its = [*credentials.headers, *(each for each in headers if each[0] != "host")]
    if method == "POST":
        body = b"{}" if _path(target).startswith("/admin") else server.form(credentials)
        its += [("content-type", "application/x-www-form-urlencoded")]
    host = dict(headers).get("host", "localhost")
    answer = await server.admin.ask(method, target, its, body, host=host)
    told = f"{method} {target} {list(headers)} by {credentials.name}"
    seen.cell(kind, told, answer.status, is_right=_is_right(method, target, credentials, answer.status))


def _is_right(method: str, target: str, credentials: Credentials, status: int) -> bool:
    """By this file alone."""
    if status == 400 and not target.startswith("/"):
        return True  # no path
    path = _path(target)
    line, needs = _line(method, path)
    if status == 400 and not line:
        return True  # no address at all
    if not line and _is_open(path):
        return status == 405  # what anybody may read, anybody may be told of
    role = _LEAST[credentials.role or "anyone"]
    if line == "/sign-in" and method == "POST":
        return status in (401, 429)  # an empty form
    if needs == "missing":
        return status == 404
    if line and needs == "anyone":
        return status in (200, 303)
    if credentials.role is None:
        return status in (401, 429)
    if not line:
        return status == (405 if _known(path) else 404)
    if role < _LEAST[needs] or (credentials.is_cookie and method == "POST" and path.startswith("/admin/")):
        return status == 403
    is_missing = line in _MAY_BE_MISSING or (line.endswith("/*") and path not in _SAMPLES.values())
    return status not in _REFUSED or (status == 404 and is_missing)


def _line(method: str, path: str) -> tuple[str, str]:
    """The line above that a path belongs to, and who may; nothing if none does."""
    if (method, path) in ADMIN:
        return path, ADMIN[method, path]
    for (each, line), needs in ADMIN.items():
        below = line.removesuffix("*")
        if each == method and line.endswith("/*") and path.startswith(below) and path != below:
            return line, _of_static(path, needs)
    return "", ""


def _of_static(path: str, needs: str) -> str:
    return needs if path == "/static/console.css" or not path.startswith("/static/") else "missing"


def _is_open(path: str) -> bool:
    return any(_line(method, path)[1] in ("anyone", "missing") for method in ("GET", "POST"))


def _known(path: str) -> bool:
    return any(_line(method, path)[0] for method in ("GET", "HEAD", "POST"))


def _path(target: str) -> str:
    """As a server that decodes once has it."""
    target = "/" + target.split("/", 3)[3] if target.startswith("http://") else target
    return unquote(target.partition("?")[0])


def _sample(path: str) -> str:
    return _SAMPLES.get(path, path)


def _some(server: Served, *, is_short: bool) -> Iterator[Credentials]:
    yield Credentials("nothing", [])
    yield server.token("viewer")
    if not is_short:
        yield server.key("valid")
        yield Credentials("a wrong token", [("authorization", "Bearer " + "0" * 48)])
        yield from (server.token(role) for role in ("operator", "owner"))
        yield from (server.session(role) for role in _ROLES)


_DECEPTIONS: Sequence[Sequence[Header]] = (
    [("host", "elsewhere.example")],
    [("host", "127.0.0.1")],
    [("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1")],
    [("forwarded", "for=127.0.0.1;host=localhost;proto=https")],
    [("x-forwarded-host", "localhost"), ("x-forwarded-proto", "https")],
    [("x-http-method-override", "GET")],
    [("x-http-method-override", "POST"), ("x-method-override", "POST"), ("x-http-method", "POST")],
    [("x-forwarded-user", "admin"), ("x-remote-user", "admin"), ("remote-user", "admin")],
    [("x-penstock-role", "owner"), ("x-api-key", "admin")],
)


def spellings(path: str) -> list[str]:
    """Other ways to write it, of which some are the same to a server that decodes, and some to one that cleans up."""
    rest = path.lstrip("/")
    first, others = rest[:1] or "/", rest[1:]
    return [
        f"//{rest}",
        f"///{rest}",
        f"/./{rest}",
        f"/%2e/{rest}",
        f"/x/../{rest}",
        f"/x/%2e%2e/{rest}",
        f"/livez/../{rest}",
        f"/livez/..%2f{rest}",
        f"/livez;/{rest}",
        f"/static/../{rest}",
        f"/static/%2e%2e/{rest}",
        f"/static/..%2f{rest}",
        f"/static%2f..%2f{rest}",
        f"/sign-in/../{rest}",
        f"/%2f{rest}",
        f"%2f{rest}",
        f"/%{ord(first):02x}{others}",
        f"/%25{ord(first):02x}{others}",
        f"/{rest}/",
        f"/{rest}//",
        f"/{rest}/.",
        f"/{rest}%2f",
        f"/{rest}%20",
        f"/{rest}%00",
        f"/{rest};x=1",
        f"/{rest}.json",
        f"/{rest}?x=/livez",
        f"/{rest}%3fx=1",
        f"/{rest}%23",
        f"/{rest.upper()}x",
        f"/\\{rest}",
        f"/%5c{rest}",
        f"/{rest.replace('/', '%2f')}x",
        f"/%c0%af{rest}",
        f"/%ef%bc%8f{rest}",
    ]
