"""What a team that opts in has kept is what crossed the wire; of all others nothing is; a store away is no matter."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from router.keys import Secret
from router.storage.prompts import Seal
from router.storage.sealed import Prompt
from router.storage.sqlite import SqliteStore
from tests.e2e.conftest import Proxy, Sandbox, running_proxy
from tests.waiting import eventually

KEY = "0e" * 32
QUESTION: dict[str, object] = {
    "model": "auto",
    "max_tokens": 40,
    "temperature": 0,
    "messages": [{"role": "user", "content": "Tell me about the quiet brown heron."}],
    "user": "somebody",
}


@pytest.fixture(scope="module")
def proxy(own_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Keeper has everything kept, and answers again from its cache; search nothing."""

    def keep(config: Path) -> None:
        search = (config / "teams" / "search.yaml").read_text().replace("team: search", "team: keeper")
        (config / "teams" / "keeper.yaml").write_text(f"{search}\ncache: {{ttl_s: 60}}\nprompts: {{kept_days: 3}}\n")
        with (config / "penstock.yaml").open("a") as main:
            main.write("\nprompts: {keys: [{id: a, key_env: PROMPTS_KEY}]}\n")

    directory = tmp_path_factory.mktemp("prompts")
    with running_proxy(directory, own_sandbox.base_url, edit=keep, PROMPTS_KEY=KEY) as proxy:
        yield proxy


def kept_of(proxy: Proxy, answer: httpx2.Response) -> Prompt:
    request_id = answer.headers["x-request-id"]
    store = SqliteStore(Path(proxy.environment["STATE_DIRECTORY"]) / "penstock.sqlite")
    eventually(lambda: store.prompt(request_id) is not None, within_s=10)
    sealed = store.prompt(request_id)
    store.close()
    assert sealed is not None
    return Seal([("a", Secret(KEY))], random_bytes=secrets.token_bytes).opened(sealed)


def test_a_whole_answer_and_a_stream_are_kept_as_the_client_sent_and_got_them(proxy: Proxy) -> None:
    whole = proxy.chat("keeper", QUESTION)
    streamed = proxy.chat("keeper", {**QUESTION, "temperature": 1, "stream": True})

    first, second = kept_of(proxy, whole), kept_of(proxy, streamed)
    assert json.loads(first.request) == QUESTION
    assert (first.answer, first.team, first.api) == (whole.content, "keeper", "chat/completions")
    assert json.loads(second.request)["stream"] is True
    assert second.answer == streamed.content
    assert second.answer.endswith(b"data: [DONE]\n\n")


def test_an_answer_of_the_cache_is_kept_too_and_one_that_was_refused_is_not(proxy: Proxy) -> None:
    body = {**QUESTION, "messages": [{"role": "user", "content": "Tell me about reeds."}]}
    streams = [proxy.chat("keeper", {**body, "stream": True})]

    def is_found() -> bool:  # a moment after the client had the end of the first
        streams.append(proxy.chat("keeper", {**body, "stream": True}))
        return streams[-1].headers["x-penstock-cache"] == "hit"

    eventually(is_found, within_s=10)
    refused = proxy.chat("keeper", {**body, "model": "nothing-of-the-kind"})

    kept = [kept_of(proxy, each).answer for each in streams]

    assert kept == [each.content for each in streams]
    store = SqliteStore(Path(proxy.environment["STATE_DIRECTORY"]) / "penstock.sqlite")
    assert store.prompt(refused.headers["x-request-id"]) is None
    store.close()


def test_of_a_team_that_does_not_opt_in_not_a_byte_is_kept_and_of_one_that_does_no_readable_one(proxy: Proxy) -> None:
    said = "the loud green kingfisher"
    body = {**QUESTION, "messages": [{"role": "user", "content": said}]}
    others, own = proxy.chat("search", body), proxy.chat("keeper", body)
    kept_of(proxy, own)

    state = Path(proxy.environment["STATE_DIRECTORY"])
    store = SqliteStore(state / "penstock.sqlite")
    assert store.prompt(others.headers["x-request-id"]) is None
    store.close()
    content = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    assert own.headers["x-request-id"].encode() in content
    assert said.encode() not in content


def test_where_nothing_can_be_kept_requests_are_answered_and_it_is_counted(proxy: Proxy) -> None:
    store = SqliteStore(Path(proxy.environment["STATE_DIRECTORY"]) / "penstock.sqlite")
    with store._transaction() as connection:  # nobody else may write as long as it is open
        connection.execute("ALTER TABLE prompts RENAME TO away")
    try:
        answer = proxy.chat("keeper", {**QUESTION, "temperature": 1})
        eventually(lambda: 'penstock_prompts_lost_total{reason="unwritable"} 1.0' in proxy.metrics(), within_s=10)
    finally:
        with store._transaction() as connection:
            connection.execute("ALTER TABLE away RENAME TO prompts")
        store.close()

    assert answer.status_code == 200
    assert kept_of(proxy, proxy.chat("keeper", {**QUESTION, "temperature": 1})).team == "keeper"
