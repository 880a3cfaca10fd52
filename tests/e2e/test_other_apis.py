"""Embeddings, text completions, moderations and the list of models, by the official client and by raw requests.

The sandbox is OpenRouter, and under another path a server on one's own machine, which answers with numbers whatever
encoding was asked for.
"""

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.e2e.conftest import Proxy, Sandbox, running_proxy
from tests.e2e.node import needs_node, read_by_node
from tests.waiting import eventually

SMALL = "openai/text-embedding-3-small"
FLASH = "deepseek/deepseek-v4-flash"
OPEN = "qwen/qwen3-embedding-8b"
_LOCAL_MODELS = """
  local/bge-m3:
    apis: [embeddings]
    context_tokens: 8192
    deployments:
      - provider: local
        upstream_model: bge-m3
        prices: [{from: 2026-11-01, input_usd_per_mtok: 0, output_usd_per_mtok: 0, source: ours, checked: 2026-11-01}]
  both/embedder:
    apis: [embeddings]
    context_tokens: 8192
    deployments:
      - provider: openrouter
        upstream_model: openai/text-embedding-3-small
        prices: [{from: 2026-11-01, input_usd_per_mtok: 0.02, output_usd_per_mtok: 0, source: a, checked: 2026-11-01}]
      - provider: local
        upstream_model: bge-m3
        prices: [{from: 2026-11-01, input_usd_per_mtok: 0, output_usd_per_mtok: 0, source: ours, checked: 2026-11-01}]
  local/judge:
    apis: [moderations]
    context_tokens: 8192
    deployments:
      - provider: local
        upstream_model: judge-1
        prices: [{from: 2026-11-01, input_usd_per_mtok: 0, output_usd_per_mtok: 0, source: ours, checked: 2026-11-01}]
"""


@pytest.fixture(scope="module")
def proxy(own_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    def with_a_local_server(config: Path) -> None:
        main, models, team = config / "penstock.yaml", config / "models.yaml", config / "teams" / "search.yaml"
        local = f"providers:\n  local:\n    kind: openai_compatible\n    base_url: {own_sandbox.base_url}/local/v1\n"
        apis = "    apis: [chat/completions, embeddings, moderations]\n"
        main.write_text(main.read_text().replace("providers:\n", local + apis, 1))
        models.write_text(models.read_text().replace("\nmodels:\n", f"\nmodels:\n{_LOCAL_MODELS}", 1))
        aliases = (
            "aliases:\n  ours: {model: local/bge-m3}\n  both: {model: both/embedder}\n"
            "  omni-moderation-latest: {model: local/judge}\n"
        )
        team.write_text(team.read_text().replace("aliases:\n", aliases, 1))

    with running_proxy(tmp_path_factory.mktemp("proxy"), own_sandbox.base_url, edit=with_a_local_server) as proxy:
        eventually(lambda: '"least_pricing":{"prompt":"0.00000001"' in listed_text(proxy), within_s=20)  # OPEN's price
        yield proxy


def listed_text(proxy: Proxy) -> str:
    return proxy.http.get(f"{proxy.base_url}/models", headers={"authorization": f"Bearer {proxy.keys['search']}"}).text


def post(proxy: Proxy, path: str, body: Mapping[str, object], **headers: str) -> httpx2.Response:
    return proxy.http.post(
        f"{proxy.base_url}/{path}",
        json=body,
        headers={
            "authorization": f"Bearer {proxy.keys['search']}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )


def refusal(answer: httpx2.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


def booked(proxy: Proxy) -> dict[str, Any]:
    """The latest request in the ledger."""
    rows: list[dict[str, Any]] = proxy.http.get(f"{proxy.admin_url}/admin/requests?limit=1").json()["requests"]
    return rows[0]


# ----- embeddings


def test_the_client_asks_for_base64_unsaid_and_reads_a_vector(proxy: Proxy, own_sandbox: Sandbox) -> None:
    raw = proxy.client().embeddings.with_raw_response.create(model="embed", input="a wide river")

    answer = raw.parse()
    assert (len(answer.data), len(answer.data[0].embedding)) == (1, 1536)
    assert sum(each * each for each in answer.data[0].embedding) == pytest.approx(1, abs=1e-5)
    assert answer.usage.prompt_tokens == 3
    assert own_sandbox.last_request() == {
        "model": SMALL,
        "input": "a wide river",
        "encoding_format": "base64",
        "provider": {"max_price": {"prompt": "0.02"}},
    }
    assert raw.headers["x-penstock-model"] == SMALL
    assert raw.headers["x-penstock-cost-usd"] == "0.00000006"
    assert "x-penstock-saved-usd" not in raw.headers  # the team's baseline embeds nothing


def test_a_batch_comes_back_in_its_order(proxy: Proxy) -> None:
    texts = [f"river number {number}" for number in range(40)]

    answer = proxy.client().embeddings.create(model="embed", input=texts, dimensions=64)

    assert [each.index for each in answer.data] == list(range(40))
    (alone,) = proxy.client().embeddings.create(model="embed", input=texts[7], dimensions=64).data
    assert answer.data[7].embedding == alone.embedding


def test_each_text_of_a_batch_has_the_window_for_itself(proxy: Proxy) -> None:
    long = ["river " * 6_000] * 4  # 24,000 tokens, and the window has 8,192

    answer = proxy.client().embeddings.create(model="embed", input=long, dimensions=8)

    assert answer.usage.prompt_tokens > 20_000
    status, code, message = refusal(post(proxy, "embeddings", {"model": "embed", "input": ["a", "river " * 9_000]}))
    assert (status, code) == (400, "no_eligible_model")
    assert "exceed 8192" in message


def test_token_ids_as_langchain_sends_them_are_counted_as_they_are(proxy: Proxy, own_sandbox: Sandbox) -> None:
    body = {"model": "embed", "input": [[6151, 1070], [42]], "encoding_format": "base64"}

    answer = post(proxy, "embeddings", body, x_penstock_dry_run="1").json()
    vectors = post(proxy, "embeddings", body).json()

    (candidate,) = answer["candidates"]
    assert (answer["profile"]["input_tokens"], answer["profile"]["id_tokens"]) == (3, 3)
    assert (candidate["input_tokens"], candidate["max_output_tokens"]) == (3, 0)
    assert own_sandbox.last_request()["input"] == [[6151, 1070], [42]]
    assert vectors["usage"]["prompt_tokens"] == 3


def test_members_nobody_here_knows_are_passed_on(proxy: Proxy, own_sandbox: Sandbox) -> None:
    proxy.client().embeddings.create(
        model="embed", input="x", user="ada", extra_body={"input_type": "search_query", "tomorrows": {"new": [1, None]}}
    )

    sent = own_sandbox.last_request()
    assert (sent["user"], sent["input_type"], sent["tomorrows"]) == ("ada", "search_query", {"new": [1, None]})


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_a_server_that_knows_no_base64_is_understood_by_every_client(proxy: Proxy, encoding: str | None) -> None:
    """openai-node makes an empty vector of numbers where it asked for base64."""
    asked = {} if encoding is None else {"encoding_format": encoding}

    (told,) = post(proxy, "embeddings", {"model": "ours", "input": "a river", **asked}).json()["data"]

    if encoding == "base64":
        assert len(struct.unpack("<1024f", base64.b64decode(told["embedding"], validate=True))) == 1024
    else:
        assert len(told["embedding"]) == 1024
    assert len(proxy.client().embeddings.create(model="ours", input="a river").data[0].embedding) == 1024


@needs_node
@pytest.mark.parametrize(("model", "size"), [("embed", 1536), ("ours", 1024)])
def test_openai_node_reads_the_same_vector_as_openai_python(proxy: Proxy, model: str, size: int) -> None:
    (vector,) = read_by_node("read.mjs", proxy, model=model, asks=[{"embed": "a river"}])

    assert len(vector) == size
    assert vector == proxy.client().embeddings.create(model=model, input="a river").data[0].embedding


def test_a_policy_never_chooses_between_spaces_of_vectors(proxy: Proxy) -> None:
    status, code, message = refusal(post(proxy, "embeddings", {"model": "auto", "input": "x"}))

    assert (status, code) == (400, "ambiguous_embedding_model")
    assert "leads to the policy 'balanced'" in message


def test_of_one_model_the_cheapest_deployment_is_asked_and_the_next_if_it_fails(proxy: Proxy) -> None:
    def served_by(text: str) -> tuple[str, str]:
        raw = proxy.client().embeddings.with_raw_response.create(model="both", input=text)
        return raw.headers["x-penstock-provider"], raw.headers["x-penstock-cost-usd"]

    assert served_by("a river") == ("local", "0.00")
    assert served_by("[sandbox:fault=503@bge-m3] a river")[0] == "openrouter"


def test_who_takes_a_chat_model_for_an_embedder_or_the_other_way_round_is_told(proxy: Proxy) -> None:
    embedded = post(proxy, "embeddings", {"model": "opus", "input": "x"})
    chatted = proxy.chat("search", {"model": "embed", "messages": [{"role": "user", "content": "x"}]})

    for answer in (embedded, chatted):
        assert answer.status_code == 400
        assert [each["reason"] for each in answer.json()["error"]["rejections"]] == ["wrong_api"]


def test_a_model_whose_price_only_openrouters_second_list_tells_is_served_at_it(proxy: Proxy) -> None:
    raw = proxy.client().embeddings.with_raw_response.create(model="embed-open", input="a river")

    assert len(raw.parse().data[0].embedding) == 4096
    assert raw.headers["x-penstock-cost-usd"] == "0.00000002"


def test_vectors_whose_cost_nobody_told_are_asked_for_by_their_name(proxy: Proxy) -> None:
    answer = proxy.client().embeddings.create(model="embed", input="[sandbox:fault=no-usage] a river")

    assert len(answer.data) == 1


def test_what_no_embedder_takes_is_refused_by_name(proxy: Proxy) -> None:
    bodies: list[tuple[dict[str, object], str]] = [
        ({"input": []}, "empty_array"),
        ({"input": ""}, "empty_text"),
        ({"input": ["a", 1]}, "invalid_type"),
        ({}, "invalid_type"),
        ({"input": ["a"] * 2049}, "array_above_max_length"),
        ({"input": "a", "encoding_format": "hex"}, "invalid_type"),
        ({"input": "a", "stream": True}, "unsupported_parameter"),
        ({"input": "a", "models": ["b/c"]}, "unsupported_parameter"),
    ]

    for body, code in bodies:
        assert refusal(post(proxy, "embeddings", {"model": "embed", **body}))[:2] == (400, code)


# ----- completions


def test_a_text_is_continued_and_gets_openais_limit_if_it_has_none(proxy: Proxy, own_sandbox: Sandbox) -> None:
    answer = proxy.client().completions.create(model="auto", prompt="A penstock is")

    assert (answer.object, answer.choices[0].finish_reason) == ("text_completion", "length")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16
    sent = own_sandbox.last_request()
    assert (sent["prompt"], sent["max_tokens"]) == ("A penstock is", 16)
    assert "stream_options" not in sent


@pytest.mark.parametrize("shows_usage", [False, True])
def test_a_streamed_completion_says_what_the_whole_one_says(proxy: Proxy, *, shows_usage: bool) -> None:
    def ask(**more: Any) -> Any:  # noqa: ANN401 - either of the client's two types
        return proxy.client().completions.create(model="auto", prompt="A penstock is", max_tokens=40, **more)

    whole = ask()
    chunks = list(ask(stream=True, stream_options={"include_usage": shows_usage}))

    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text
    assert (chunks[-1].usage is not None) == shows_usage
    assert [chunk for chunk in chunks[:-1] if chunk.usage is not None] == []


def test_a_stream_of_text_ends_once_and_an_error_ends_it_without_done(proxy: Proxy) -> None:
    def streamed(prompt: str) -> str:
        return post(proxy, "completions", {"model": "auto", "prompt": prompt, "stream": True, "max_tokens": 60}).text

    good, broken = streamed("A penstock is"), streamed("[sandbox:fault=mid-stream-error] A penstock is")

    assert good.count("data: [DONE]") == 1
    assert good.endswith("data: [DONE]\n\n")
    assert "[DONE]" not in broken
    assert json.loads(broken.strip().split("\n\n")[-1].removeprefix("data: "))["error"]["code"].startswith("upstream_")


def test_several_prompts_and_choices_multiply_what_is_held(proxy: Proxy) -> None:
    body: dict[str, object] = {"model": "opus", "prompt": ["A river", "A lake"], "n": 2, "max_tokens": 20}

    def worst(**more: object) -> float:
        (candidate,) = post(proxy, "completions", {**body, **more}, x_penstock_dry_run="1").json()["candidates"]
        return float(candidate["worst_usd"])

    answer = proxy.client().completions.create(model="opus", prompt=["A river", "A lake"], n=2, max_tokens=20)

    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert worst(best_of=4) > 1.9 * worst()
    assert worst(echo=True) > worst()


def test_a_completion_goes_to_nobody_who_would_have_to_be_asked_for_a_chat(proxy: Proxy) -> None:
    answer = post(proxy, "completions", {"model": FLASH, "prompt": "A river"}, x_penstock_dry_run="1").json()

    assert [(each["provider"], each["model"]) for each in answer["candidates"]] == [("openrouter", FLASH)]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"prompt": None}, "invalid_type"),
        ({"max_tokens": -1}, "integer_below_min_value"),
        ({"max_tokens": "many"}, "invalid_type"),
        ({"n": 0}, "integer_below_min_value"),
        ({"best_of": 500}, "integer_above_max_value"),
        ({"best_of": 3, "stream": True}, "unsupported_parameter"),
        ({"prompt": ["a", "b"], "suffix": "c"}, "unsupported_parameter"),
        ({"preset": "x"}, "unsupported_parameter"),
        ({"service_tier": "priority"}, "unsupported_parameter"),
    ],
)
def test_what_a_completion_cannot_be_asked_is_refused_by_name(
    proxy: Proxy, wrong: dict[str, object], code: str
) -> None:
    assert refusal(post(proxy, "completions", {"model": "auto", "prompt": "x", **wrong}))[:2] == (400, code)


# ----- moderations


def test_texts_are_judged_by_the_server_that_the_operator_has_named_for_it(proxy: Proxy, own_sandbox: Sandbox) -> None:
    answer = proxy.client().moderations.create(input=["a river", "violence"])

    assert [each.flagged for each in answer.results] == [False, True]
    eventually(lambda: booked(proxy)["alias"] == "omni-moderation-latest", within_s=10)
    assert booked(proxy)["cost_nano_usd"] == 0


def test_where_nobody_judges_the_operator_is_told_how_to_set_it_up(proxy: Proxy) -> None:
    with pytest.raises(openai.NotFoundError, match=r"apis: \[moderations\]"):
        proxy.client("research").moderations.create(input="a river")
    with pytest.raises(openai.BadRequestError) as raised:
        proxy.client().moderations.create(input="a river", model="opus")

    assert raised.value.code == "no_eligible_model"


# ----- models


def test_the_client_lists_aliases_and_models_and_finds_each(proxy: Proxy) -> None:
    client = proxy.client()

    listed = {model.id: model for model in client.models.list()}

    assert {"auto", "embed", SMALL, OPEN} <= listed.keys()
    for name in (SMALL, "auto", "ours"):
        assert client.models.retrieve(name) == listed[name]
    assert listed[SMALL].created == 1706140800  # 25 January 2024
    assert listed["ours"].created == 0  # nobody has said


# ----- money, after all of the above


def test_the_ledger_comes_to_what_the_sandbox_has_billed(proxy: Proxy, own_sandbox: Sandbox) -> None:
    bill = own_sandbox.bill_nano_usd()

    assert bill > 0
    eventually(lambda: proxy.spend_nano_usd() == bill, within_s=60)
