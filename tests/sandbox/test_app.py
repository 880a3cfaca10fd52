"""The endpoints beside chat: what is on sale, the account, the bill, the request log."""

from decimal import Decimal

import httpx2
import pytest
from openai import OpenAI

from tests.sandbox import reading
from tests.sandbox.conftest import KEY, RunningSandbox

# Keys of a recorded /models entry, 2026-07, in their order there.
MODEL_KEYS = [
    "id",
    "canonical_slug",
    "hugging_face_id",
    "name",
    "created",
    "description",
    "context_length",
    "architecture",
    "pricing",
    "top_provider",
    "per_request_limits",
    "supported_parameters",
    "default_parameters",
    "supported_voices",
    "knowledge_cutoff",
    "expiration_date",
    "links",
    "reasoning",
]


def test_models_are_listed_as_openrouter_lists_them(sandbox: RunningSandbox) -> None:
    response = httpx2.get(f"{sandbox.url}/api/v1/models", trust_env=False)

    body = response.json()
    assert (len(body["data"]), body["total_count"], body["links"]) == (15, 15, {"next": None})
    assert response.headers["cache-control"].startswith("public, max-age=300")
    for model in body["data"]:
        assert list(model) == MODEL_KEYS
        prices = {name: price for name, price in model["pricing"].items() if name != "overrides"}
        assert all(Decimal(price) > 0 and "E" not in price for price in prices.values())


def test_prices_are_strings_in_dollars_per_token(sandbox: RunningSandbox) -> None:
    pricing = {model["id"]: model["pricing"] for model in sandbox.http.get("/api/v1/models").json()["data"]}

    assert pricing["deepseek/deepseek-v4-flash"] == {
        "prompt": "0.000000105",
        "completion": "0.00000021",
        "input_cache_read": "0.000000021",
    }
    assert pricing["openai/gpt-5.4"]["overrides"] == [
        {
            "min_prompt_tokens": 272_000,
            "prompt": "0.000005",
            "completion": "0.0000225",
            "input_cache_read": "0.0000005",
        }
    ]
    assert pricing["anthropic/claude-sonnet-4.6"]["input_cache_write"] == "0.00000375"


def test_the_list_can_be_paged(sandbox: RunningSandbox) -> None:
    found, path = [], "/api/v1/models?limit=7"
    while path:
        page = sandbox.http.get(path).json()
        found += [model["id"] for model in page["data"]]
        path = page["links"]["next"]

    assert len(found) == len(set(found)) == 15


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "offset=-1", "offset=x"])
def test_a_page_that_cannot_be_is_refused(sandbox: RunningSandbox, query: str) -> None:
    assert sandbox.http.get(f"/api/v1/models?{query}").status_code == 400


def test_the_official_client_lists_the_models(client: OpenAI) -> None:
    assert "z-ai/glm-5.1" in {model.id for model in client.models.list()}


def test_a_model_has_one_endpoint(sandbox: RunningSandbox) -> None:
    details = sandbox.http.get("/api/v1/models/deepseek/deepseek-v4-flash-20260423/endpoints").json()["data"]

    (endpoint,) = details["endpoints"]
    assert (endpoint["provider_name"], endpoint["tag"]) == ("DeepInfra", "deepinfra")
    assert sandbox.http.get("/api/v1/models/foo/bar/endpoints").status_code == 404


def test_the_key_knows_what_was_spent(sandbox: RunningSandbox) -> None:
    cost = reading.usage(sandbox.ask())["cost"]

    data = reading.exact_json(sandbox.http.get("/api/v1/key"))["data"]

    assert data["usage"] == cost
    assert KEY not in str(data)


@pytest.mark.parametrize("path", ["/api/v1/key", "/api/v1/generation?id=gen-1-a"])
def test_the_account_needs_a_key(sandbox: RunningSandbox, path: str) -> None:
    assert httpx2.get(f"{sandbox.url}{path}", trust_env=False).status_code == 401


def test_a_generation_has_a_record(sandbox: RunningSandbox) -> None:
    answer = sandbox.ask()

    record = reading.exact_json(sandbox.http.get("/api/v1/generation", params={"id": answer.json()["id"]}))["data"]

    assert record["total_cost"] == reading.usage(answer)["cost"]
    assert (record["streamed"], record["cancelled"], record["finish_reason"]) == (False, False, "stop")
    assert sandbox.http.get("/api/v1/generation", params={"id": "gen-1-a"}).status_code == 404
    assert sandbox.http.get("/api/v1/generation").status_code == 404


def test_the_bill_lists_generations_and_can_be_torn_up(sandbox: RunningSandbox) -> None:
    answer = sandbox.ask()

    bill = sandbox.bill()

    assert bill["generations"] == [
        {
            "id": answer.json()["id"],
            "model": "deepseek/deepseek-v4-flash",
            "provider": "DeepInfra",
            "server": "openrouter",
            "streamed": False,
            "cancelled": False,
            "prompt_tokens": answer.json()["usage"]["prompt_tokens"],
            "cached_tokens": 0,
            "completion_tokens": answer.json()["usage"]["completion_tokens"],
            "reasoning_tokens": 0,
            "nano_usd": bill["total_nano_usd"],
        }
    ]
    assert sandbox.http.delete("/sandbox/bill").json() == {"generations": [], "total_nano_usd": 0}


def test_the_request_log_shows_what_arrived_but_no_secret(sandbox: RunningSandbox) -> None:
    body = {"model": "deepseek/deepseek-v4-flash", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
    sandbox.post(body, headers={"x-title": "test", "cookie": "secret=1"})

    response = sandbox.http.get("/sandbox/requests")

    (request,) = response.json()["requests"]
    assert request["body"] == body
    assert request["headers"]["x-title"] == "test"
    assert KEY not in response.text
    assert "secret=1" not in response.text
    assert sandbox.http.delete("/sandbox/requests").json() == {"requests": []}


def test_the_request_log_forgets_the_oldest(sandbox: RunningSandbox) -> None:
    for number in range(503):
        sandbox.post({"number": number})

    requests = sandbox.http.get("/sandbox/requests").json()["requests"]
    assert [requests[0]["body"], requests[-1]["body"], len(requests)] == [{"number": 3}, {"number": 502}, 500]


def test_a_body_that_is_not_json_is_logged_by_its_size(sandbox: RunningSandbox) -> None:
    response = sandbox.http.post("/api/v1/chat/completions", content=b"{oops")

    (request,) = sandbox.http.get("/sandbox/requests").json()["requests"]
    assert response.status_code == 400
    assert (request["body"], request["body_bytes"]) == (None, 5)


def test_unknown_paths_have_openrouters_error_shape(sandbox: RunningSandbox) -> None:
    response = sandbox.http.get("/api/v1/nothing")

    assert response.status_code == 404
    assert response.json()["error"]["code"] == 404
