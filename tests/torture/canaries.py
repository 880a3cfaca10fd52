"""canaries: secrets, prompts and answers are nowhere to be seen but with those who sent them, whatever goes wrong.

Texts of high entropy stand in every place of a request, an answer, a file and a surrounding where somebody might put a
secret, at the log's level `debug`, and are looked for, in any form (needles.py), in all that the process leaves.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path

import psycopg
import redis

from router.keys import KeyId, PresentedKey, Secret, written
from router.storage.postgres import PostgresStore
from router.storage.prompts import Seal
from router.storage.sqlite import SqliteStore
from router.storage.store import Store
from tests.torture.canary_provider import Collector, TellingProvider, running
from tests.torture.canary_requests import ANSWERS, CONTENT, SECRETS, Requests, Sent
from tests.torture.needles import Needles
from tests.torture.needles import written as forms_of
from tests.torture.plant import AMPLE, CHECKOUT, STOPS_AT_CANCEL, Plant, Replica, running_plant
from tests.torture.result import Figure, Result, at_least, none, told
from tests.torture.setting import Setting
from tests.torture.stores import free_port
from tests.waiting import eventually

TITLE = "secrets and prompts are in no log, metric, trace, file or answer to others"

_ALPHABET = "ghijkmnpqrstuvwxyzGHJKMNPQRSTUVWXYZ23456789"  # nothing that hex digits spell
_CHARACTERS = 40
_ANSWER_S = 30.0
_AT_ONCE = 8
_HEADERS_ENV, _PROMPTS_ENV = "CANARY_TRACES_HEADERS", "CANARY_PROMPTS_KEY"
_TOKEN_ENV, _DEEPSEEK_ENV = "PENSTOCK_ADMIN_TOKEN", "DEEPSEEK_API_KEY"
_QUIET = "team: quiet\ntime_zone: UTC\nbudgets:\n  - {limit_usd: 1000, per: month}\naliases:\n  stops: {model: MODEL}\n"
# A mistake of ours, which the process below finds in itself when a prompt asks for it: an exception that quotes what it
# was given, where a request is planned, in a thread, in a callback and in a task; and what libraries might say.
_MISTAKES = """
import asyncio, logging, os, threading, warnings
from router.gateway.planning import Planner

planned = Planner.plan

async def fails(text):
    raise RuntimeError(text)

def fails_at_once(text):
    raise ValueError(text, {"body": text})

async def plan(self, team, request, controls, **options):
    text = repr(request.messages)
    if "MISTAKE" not in text:
        return await planned(self, team, request, controls, **options)
    text += os.environ["CANARY_IN_AN_EXCEPTION"]
    threading.Thread(target=fails_at_once, args=(text,)).start()
    asyncio.get_running_loop().call_soon(fails_at_once, text)
    asyncio.ensure_future(fails(text))
    warnings.warn("beware of " + text)
    for name in ("uvicorn.error", "httpx2", "redis.connection", "psycopg", "asyncio", "py.warnings"):
        other = logging.getLogger(name)
        other.warning(f"sending {text} to somebody")
        other.warning("sending %s to %s", text, text)
        other.warning("sending %d", text)
        other.error(text)
        other.error("failed", exc_info=RuntimeError(text))
        other.error(RuntimeError(text))
        other.error("failed", stack_info=True, extra={"event": text, "body": text})
    logging.getLogger("penstock").warning("a name of ours: %s", "\\udcff\\u202e\\x1b[31m\\r\\n" + "x" * 1_000_000)
    class Dying:
        def __del__(self):
            raise RuntimeError(text)
    Dying()
    raise RuntimeError("no plan for " + text)

Planner.plan = plan
"""


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    with _Experiment(setting).carried_out() as seen:
        return Result("canaries", TITLE, command, tuple(_figures(setting, seen)), time.monotonic() - started_s)


@dataclass(slots=True)
class _Seen:
    """What came of it: where anything was, and how much was looked at."""

    canaries: Mapping[str, str]
    hits: list[tuple[str, str]] = field(default_factory=list)  # the name of a canary, and where it was
    places: int = 0
    content_bytes: int = 0
    requests: int = 0
    statuses: set[int] = field(default_factory=set)
    moods: int = 0
    spans: int = 0
    commands: int = 0
    log_lines: int = 0
    bad_lines: int = 0
    own_finds: int = 0
    own_needed: int = 0
    keys_at_provider: int = 0
    reload_failures: float = 0.0
    mistakes: int = 0
    kept: int = 0
    kept_unasked: int = 0
    opened: int = 0


def _figures(setting: Setting, seen: _Seen) -> Iterator[Figure]:
    secret, said = ([hit for hit in seen.hits if _is_secret(hit[0]) is kind] for kind in (True, False))
    yield at_least("canaries", len(seen.canaries), 40)
    yield at_least("requests that hold them", seen.requests, 200 if setting.is_short else 400)
    yield at_least("answers of different status", len(seen.statuses), 10)
    yield at_least("moods of the provider, which quotes prompt and key", seen.moods, 30)
    yield at_least("mistakes of ours that quote the prompt", seen.mistakes, 1)
    yield at_least("commands with secrets in what they read", seen.commands, 1 if setting.is_short else 12)
    yield at_least("reloads that failed over a file with a secret", seen.reload_failures, 1)
    yield at_least("deliveries of spans", seen.spans, 1)
    yield at_least("provider's own key, at the provider", seen.keys_at_provider, 1)
    yield told("places searched", seen.places)
    yield told("bytes searched", seen.content_bytes)
    yield none("forms of a canary that the search overlooks", seen.own_needed - seen.own_finds)
    yield none("secrets found", len(secret))
    yield none("prompts and answers found", len(said))
    yield at_least("requests kept of a team that opts in", seen.kept, 20)
    yield at_least("of these opened with the key, to see that they hold it", seen.opened, 20)
    yield none("requests kept of teams that do not", seen.kept_unasked)
    yield at_least("lines of the log", seen.log_lines, 50)
    yield none("lines that are no JSON object, or hold a control character", seen.bad_lines)


def _is_secret(name: str) -> bool:
    return name in SECRETS or name.startswith("key")


class _Experiment:
    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        chance = setting.chance("canaries")
        self._canaries = {
            name: "".join(chance.choice(_ALPHABET) for _ in range(_CHARACTERS))
            for name in (*CONTENT, *(f"answer's {each}" for each in ANSWERS), *SECRETS)
        }
        wrong = PresentedKey(KeyId(chance.randbytes(8).hex()), Secret(chance.randbytes(32).hex()))
        self._canaries["wrong key"] = written(wrong)
        self._canaries["key for prompts"] = chance.randbytes(32).hex()
        self._seen = _Seen(self._canaries)
        self._haystack: list[tuple[str, bytes]] = []
        self._answers_of: dict[str, list[bytes]] = {}

    @contextmanager
    def carried_out(self) -> Iterator[_Seen]:
        seen, of = self._seen, self._canaries
        provider = TellingProvider({each: of[f"answer's {each}"] for each in ANSWERS})
        collector = Collector()
        with ExitStack() as stack:
            provider_port = stack.enter_context(running(provider))
            collector_port = stack.enter_context(running(collector))
            plant = stack.enter_context(self._plant(provider_port, collector_port))
            self._served(plant, provider)
            for replica in plant.replicas:
                replica.stop()
            self._look(f"files of {plant.state}", _files_of(plant.state, without={"pepper"}))
            self._open_what_is_kept(plant)
            self._commands(plant)
            for replica in plant.replicas:
                log = replica.log.read_bytes()
                self._look("the log", [("log", log)])
                self._judge_lines(log)
            self._look("traces", [("spans", body) for body in collector.bodies])
            seen.spans = len(collector.bodies)
            seen.moods = len(provider.moods_met)
            seen.keys_at_provider = sum(of["provider key"] in key for key in provider.keys_seen)
            self._search(plant)
        yield seen

    @contextmanager
    def _plant(self, provider_port: int, collector_port: int) -> Iterator[Plant]:
        of = self._canaries
        mistakes = self._setting.directory / "mistakes"
        mistakes.mkdir()
        (mistakes / "sitecustomize.py").write_text(_MISTAKES)
        environment = {
            "OPENROUTER_API_KEY": f"sk-or-v1-{of['provider key']}",
            _DEEPSEEK_ENV: of["other provider's key"],
            _TOKEN_ENV: of["admin token"],
            _HEADERS_ENV: f"authorization=Bearer%20{of['collector header']}",
            "CANARY_IN_AN_EXCEPTION": of["in an exception"],
            _PROMPTS_ENV: of["key for prompts"],
        }
        at_work = {**environment, "PYTHONPATH": f"{mistakes}{os.pathsep}{CHECKOUT}"}
        with running_plant(
            self._setting,
            name="canaries",
            teams={
                "ample": AMPLE,
                "kept": AMPLE.replace("ample", "kept") + "prompts: {kept_days: 30}\n",
                "quiet": _QUIET.replace("MODEL", STOPS_AT_CANCEL),
            },
            time_scale=0.0,
            upstream_port=provider_port,
            environment=lambda _: at_work,
            replicas=1,
            is_started=False,
        ) as plant:
            main = plant.replicas[0].config / "penstock.yaml"
            text = (
                main.read_text()
                .replace("first_byte_s: 300", "first_byte_s: 1")
                .replace("refresh_s: 300", "refresh_s: 60")
            )
            text = text.replace("https://api.deepseek.com", f"http://127.0.0.1:{provider_port}/deepseek")
            text += f"\nprompts: {{keys: [{{id: a, key_env: {_PROMPTS_ENV}}}]}}\n"
            text += "\nlogs: {level: debug, format: json, requests: true}\n"
            text += (
                f"traces: {{endpoint: 'http://127.0.0.1:{collector_port}/v1/traces', headers_env: {_HEADERS_ENV}}}\n"
            )
            main.write_text(text)
            models = main.with_name("models.yaml")
            models.write_text(models.read_text().replace("image_input", "image_input, file_input"))
            self._protect(plant)
            plant.replicas[0].start()
            yield plant

    def _protect(self, plant: Plant) -> None:
        """Redis and PostgreSQL with passwords in their URLs."""
        if plant.shared is None:
            return
        of = self._canaries
        client = redis.Redis(port=plant.shared.redis.port)
        client.config_set("requirepass", of["redis password"])
        client.close()
        [replica] = plant.replicas
        urls = {
            name: value.replace("://", f"://{user}:{of[password]}@").replace(f"@{user}@", "@")
            for name, user, password in (
                ("TORTURE_REDIS_URL", "", "redis password"),
                ("TORTURE_POSTGRES_URL", "postgres", "postgres password"),
            )
            for value in [replica.environment[name].replace("postgres@", "")]
        }
        replica.environment = {**replica.environment, **urls}

    def _served(self, plant: Plant, provider: TellingProvider) -> None:
        [replica] = plant.replicas
        requests = Requests(self._canaries)
        every = list(requests.every(is_short=self._setting.is_short))
        ask = partial(self._asked, plant, replica)
        with ThreadPoolExecutor(_AT_ONCE) as clients:
            watching = clients.submit(self._others, plant, replica, len(every) // 8)
            list(clients.map(ask, every, cycle(("ample", "kept"))))
            watching.result()
        mistake = requests.plain("well", metadata={"a": "MISTAKE"})
        mistake["messages"][0]["content"] += " MISTAKE"
        sent = requests.posted("mistake", mistake)
        self._seen.mistakes = int(b" 500 " in ask(sent)[:20])
        self._read_admin(plant, replica, "while it serves")
        if not self._setting.is_short:
            self._look("files while it serves", _files_of(plant.state, without={"pepper"}))
        self._reload(plant, replica)
        self._killed(plant, replica, requests, provider)
        if not self._setting.is_short:
            self._read_admin(plant, replica, "after the kill")
        self._seen.requests = len(every) + 1

    def _asked(self, plant: Plant, replica: Replica, sent: Sent, team: str = "ample") -> bytes:
        key = plant.keys[team][0].text
        port = replica.port if sent.port == "data" else replica.admin_port
        answer = _exchanged(port, sent.encoded(key), goes_away=sent.goes_away)
        self._answers_of.setdefault(sent.name, []).append(answer)
        if answer.startswith(b"HTTP/1.1 "):
            self._seen.statuses.add(int(answer.split()[1]))
        return answer

    def _others(self, plant: Plant, replica: Replica, count: int) -> None:
        """Another team asks meanwhile, well and not, with nothing to hide."""
        key = plant.keys["quiet"][0].text
        for number in range(count):
            body = b'{"model": "stops", "messages": [{"role": "user", "content": "Hello. DO-404-OD"}]}'
            if number % 2:
                body = b'{"model": "other", "messages": []}'
            sent = Sent("other", "POST", "/v1/chat/completions", (), body)
            self._haystack.append(("answers to others", _exchanged(replica.port, sent.encoded(key))))

    def _read_admin(self, plant: Plant, replica: Replica, when: str) -> None:
        """Every page, with the token."""
        right = (("authorization", f"Bearer {self._canaries['admin token']}"),)
        get = partial(self._admin_page, replica, right)
        listed = get("/admin/requests?limit=500")
        names = sorted({part.split(b'"')[0].decode() for part in listed.split(b'"request_id":"')[1:]})
        pages = ["/", "/live", "/requests", "/explain", "/replay", "/models", "/teams", "/teams/ample", "/feedback"]
        pages += ["/metrics", "/admin/spend", "/admin/budgets", "/admin/labels", "/admin/quality", "/admin/config"]
        pages += ["/admin/spend?by=tag,key", "/readyz", "/nothing"]
        pages += [f"/requests/{name}" for name in (names[:: max(len(names) // 6, 1)])]
        pages += [f"/explain?request={name}" for name in names[:2]]
        self._look(f"admin pages {when}", [(path, get(path)) for path in pages] + [("/admin/requests", listed)])

    def _admin_page(self, replica: Replica, right: tuple[tuple[str, str], ...], path: str) -> bytes:
        return _exchanged(replica.admin_port, Sent("admin", "GET", path, right, has_key=False).encoded(""))

    def _reload(self, plant: Plant, replica: Replica) -> None:
        """Files with secrets in them that are no configuration."""
        of = self._canaries
        right = (("authorization", f"Bearer {of['admin token']}"),)
        main, team = replica.config / "penstock.yaml", replica.config / "teams" / "quiet.yaml"
        good, good_team = main.read_text(), team.read_text()
        bad = of["in a broken file"]
        files = (
            f"{good}\napi_key: {bad}\n",
            f"{good}\nredis: {{url: 'redis://:{bad}@127.0.0.1'}}\n",
            good.replace("api_key_env: OPENROUTER_API_KEY", f"api_key_env: 'sk-or-{bad}'"),
            good.replace("api_key_env: OPENROUTER_API_KEY", f"api_key: {bad}"),
            good.replace("api_key_env: DEEPSEEK_API_KEY", f"api_key_env: K{bad}"),  # which is a name, and is taken
            good.replace("kind: deepseek", f"kind: '{bad}'"),
            good.replace("base_url: http://", f"base_url: ftp://me:{bad}@"),
            good.replace("token_env: PENSTOCK_ADMIN_TOKEN", f"token_env: '{bad} '"),
            good.replace("stop_grace_s: 30", f"stop_grace_s: {bad}"),
            f"{good}\n{bad}: [\n",
            f"{good}\n'{bad}: \n",
            f"{good}\n? {{{bad}: 1}}\n: &{bad} *{bad}2\n",
        )
        for text in files[:: 4 if self._setting.is_short else 1]:
            main.write_text(text)
            self._reloaded(replica, right)
        main.write_text(good)
        team.write_text(f"{good_team}\n{bad}: 1\nteam: {bad}\n")
        self._reloaded(replica, right)
        team.write_text(good_team)
        self._seen.reload_failures = _metric(
            self._admin_page(replica, right, "/metrics"), b"penstock_config_reload_failures_total"
        )
        self._reloaded(replica, right)

    def _reloaded(self, replica: Replica, right: tuple[tuple[str, str], ...]) -> None:
        order = Sent("reload", "POST", "/admin/reload", right, b"", has_key=False)
        answer = _exchanged(replica.admin_port, order.encoded(""))
        self._look("the answer to a reload", [("/admin/reload", answer)])
        self._look("what is said of the configuration", [("config", self._admin_page(replica, right, "/admin/config"))])

    def _killed(self, plant: Plant, replica: Replica, requests: Requests, provider: TellingProvider) -> None:
        """With calls under way, and what is left then."""
        stalled, key = provider.stalled, plant.keys["ample"][0].text
        with ExitStack() as stack:
            for stream in (True, False):
                sent = requests.posted("killed", requests.plain("sse_stall", stream=stream, max_tokens=77))
                connection = socket.create_connection(("127.0.0.1", replica.port))
                stack.enter_context(connection)
                connection.sendall(sent.encoded(key))
            eventually(lambda: provider.stalled >= stalled + 2, within_s=20)
            replica.kill()
        self._look("files after the kill", _files_of(plant.state, without={"pepper"}))
        replica.start()

    def _commands(self, plant: Plant) -> None:
        """Commands whose configuration or surroundings hold secrets, and cannot be used."""
        of = self._canaries
        [replica] = plant.replicas
        bad, file = of["in a bad URL"], of["in a file"]
        nobody = free_port()
        redis_urls = (
            f"redis://:{of['redis password']}@127.0.0.1:{nobody}/0",
            f"redis://:{bad}/x@127.0.0.1:{nobody}/0",
            f"http://me:{bad}@127.0.0.1",
            f"redis://:x@[{bad}",
        )
        postgres_urls = (
            f"postgresql://me:{of['postgres password']}@127.0.0.1:{nobody}/penstock",
            f"postgresql://me:{bad}/@127.0.0.1:{nobody}/x",
            f"host=127.0.0.1 port={nobody} password={bad} user=me {bad}",
            f"host=127.0.0.1 port={bad} password={bad}",
            f"postgresql://me:x@127.0.0.1:{nobody}/p?{bad}=1",
        )
        pairs = [(redis_urls[0], postgres_urls[0])]
        if not self._setting.is_short:
            pairs += [(url, postgres_urls[0]) for url in redis_urls[1:]]
            pairs += [(redis_urls[0], url) for url in postgres_urls[1:]]
        shared = self._config(replica, "shared", "\nredis: {url_env: C_REDIS}\npostgres: {url_env: C_POSTGRES}\n")
        runs: list[tuple[list[str], Mapping[str, str]]] = []
        for redis_url, postgres_url in pairs:
            more = {"C_REDIS": redis_url, "C_POSTGRES": postgres_url}
            runs += [(["serve", "--config", str(shared), "--port", "0", "--admin-port", "0"], more)]
            if not self._setting.is_short:
                runs += [(["doctor", str(shared)], more), (["spend", "--config", str(shared)], more)]
        token_file = self._setting.directory / "token"
        token_file.write_text(f"{file}\n{file}\x00\n")
        broken = self._config(
            replica, "broken", f"\nadmin: {{token_file: '{token_file}', x: {file}}}\nlisten: {file}\n"
        )
        if not self._setting.is_short:
            runs += [(["check", str(broken)], {})]
            headers = {_HEADERS_ENV: f"no equals sign {of['collector header']}"}
            runs += [(["check", "--json", str(broken)], {}), (["serve", "--config", str(broken)], {})]
            runs += [(["check", str(replica.config)], headers), (["doctor", str(replica.config)], headers)]
            runs += [(["keys", "revoke", "--config", str(replica.config), "0"], {})]
            runs += [
                (["models", "--refresh", "--config", str(replica.config)], {}),
                (["reconcile", "--config", str(replica.config)], {}),
            ]
        with ThreadPoolExecutor(2) as some:
            told_by = list(some.map(partial(_ran, replica), runs))
        for (arguments, _), output in zip(runs, told_by, strict=True):
            self._look("what commands say", [(" ".join(arguments[:1]), output)])
        self._seen.commands = len(runs)

    def _open_what_is_kept(self, plant: Plant) -> None:
        """Of the team that opts in there is something, and with the key it can be read; of the others nothing is."""
        seen = self._seen
        store: Store
        if plant.shared is None:
            store = SqliteStore(plant.state / "penstock.sqlite")
        else:
            store = PostgresStore(Secret(plant.shared.postgres.url))
        rows = store.read("SELECT team, request_id FROM prompts ORDER BY request_id", (), patience_s=10.0)
        seen.kept = sum(team == "kept" for team, _ in rows)
        seen.kept_unasked = len(rows) - seen.kept
        seal = Seal([("a", Secret(self._canaries["key for prompts"]))], random_bytes=secrets.token_bytes)
        for _, request_id in rows:
            sealed = store.prompt(request_id)
            assert sealed is not None
            opened = seal.opened(sealed)
            seen.opened += any(self._canaries[name].encode() in opened.request for name in ("user", "second prompt"))
        store.close()

    def _config(self, replica: Replica, name: str, more: str) -> Path:
        made = self._setting.directory / name
        shutil.copytree(replica.config, made)
        main = made / "penstock.yaml"
        kept = [line for line in main.read_text().splitlines() if not line.startswith(("redis: ", "postgres: "))]
        main.write_text("\n".join(kept) + more)
        return made

    def _look(self, place: str, contents: Iterable[tuple[str, bytes]]) -> None:
        self._haystack += [(f"{place}: {name}", content) for name, content in contents]

    def _search(self, plant: Plant) -> None:
        seen = self._seen
        if plant.shared is not None:
            self._look("Redis", _everything_in_redis(plant.shared.redis.port, self._canaries["redis password"]))
            self._look("PostgreSQL", _everything_in_postgres(plant.shared.postgres.url))
        texts = {name: text.encode() for name, text in self._canaries.items()}
        for number, key in enumerate(plant.keys["ample"]):
            texts[f"key {number}"] = key.text.split("_")[2].encode()
        texts["wrong key"] = texts["wrong key"].split(b"_")[2]
        if (plant.state / "pepper").exists():
            texts["key: pepper"] = (plant.state / "pepper").read_bytes().strip().hex().encode()
        seen.canaries = {name: text.decode("latin-1") for name, text in texts.items()}
        self._see_that_it_sees(texts)
        needles = Needles(texts)
        looked_at: set[bytes] = set()
        for place, content in self._haystack:
            seen.places += 1
            if content in looked_at:
                continue
            looked_at.add(content)
            seen.content_bytes += len(content)
            seen.hits += [(name, place) for name in sorted(needles.found(content))]
        # What somebody sent may be quoted to himself, but for what lets anybody in; and an answer is for him.
        for name in self._answers_of:
            content = b"\0\0".join(self._answers_of[name])
            seen.content_bytes += len(content)
            found = needles.found(content)
            seen.hits += [(each, f"the answer to {name}") for each in sorted(found) if _is_secret(each)]
        for name, place in sorted(set(seen.hits)):
            sys.stderr.write(f"{name} is in {place}\n")

    def _see_that_it_sees(self, texts: Mapping[str, bytes]) -> None:
        """In what is known to hold them, it finds each in each form."""
        chosen = dict(list(texts.items())[:: 6 if self._setting.is_short else 1])
        needles = Needles(texts)
        for name, text in chosen.items():
            for content in forms_of(text).values():
                self._seen.own_needed += 1
                self._seen.own_finds += needles.found(content) == {name}

    def _judge_lines(self, log: bytes) -> None:
        """Of the JSON log: each is an object, and nothing in it moves a cursor or turns the writing around."""
        for line in log.decode().split("\n"):
            if not line or line.startswith(("Penstock ", "  ")):  # what `serve` tells a person
                continue
            self._seen.log_lines += 1
            self._seen.bad_lines += not (line.startswith("{") and line.endswith("}") and line.isprintable())


def _exchanged(port: int, request: bytes, *, goes_away: bool = False) -> bytes:
    """What is answered until the connection is closed; nothing if it breaks."""
    with socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_S) as connection:
        received = b""
        with suppress(OSError):
            connection.sendall(request)
            while more := connection.recv(65536):
                received += more
                if goes_away:
                    break
    return received


def _ran(replica: Replica, run: tuple[list[str], Mapping[str, str]]) -> bytes:
    arguments, more = run
    environment = {**replica.environment, **more}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "router.cli.main", *arguments],
            env=environment,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            check=False,  # what it says is looked at, whatever becomes of it
            capture_output=True,
            timeout=20,
        )
    except subprocess.TimeoutExpired as still:  # it serves, or waits for a server that may come
        return (still.stdout or b"") + (still.stderr or b"")
    return done.stdout + done.stderr


def _files_of(directory: Path, *, without: set[str]) -> Iterator[tuple[str, bytes]]:
    for path in sorted(directory.rglob("*")):
        if path.name in without:
            continue
        yield f"the name {path.name}", str(path.relative_to(directory)).encode()
        with suppress(OSError):  # gone meanwhile
            if path.is_file():
                yield str(path.relative_to(directory)), path.read_bytes()


def _everything_in_redis(port: int, password: str) -> Iterator[tuple[str, bytes]]:
    client = redis.Redis(port=port, password=password)
    client.config_set("rdbcompression", "no")
    for key in client.scan_iter(count=1000):
        yield "a key", key + b" " + (client.dump(key) or b"")
    client.close()


def _everything_in_postgres(url: str) -> Iterator[tuple[str, bytes]]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in found:
            with connection.cursor().copy(f'COPY "{table}" TO STDOUT'.encode()) as rows:
                yield table, b"".join(bytes(row) for row in rows)


def _metric(page: bytes, name: bytes) -> float:
    return sum(
        float(line.rsplit(b" ", 1)[1]) for line in page.splitlines() if line.startswith((name + b" ", name + b"{"))
    )
