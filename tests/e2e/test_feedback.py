"""Scores of answers, sent by the official client, and what becomes of them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.conftest import Proxy, Sandbox, running_proxy

QUESTION = "Which city is the capital of Portugal? The word aubergine must not be found in the ledger."


def ask(proxy: Proxy, team: str = "search") -> tuple[str, str]:
    """The name of a request that was answered, and the model that did."""
    reply = proxy.client(team).chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": QUESTION}]
    )
    return reply.headers["x-request-id"], reply.headers["x-penstock-model"]


def score(proxy: Proxy, body: object, team: str = "search") -> dict[str, Any]:
    told: dict[str, Any] = proxy.client(team).post("/feedback", body=body, cast_to=dict[str, Any])
    return told


def counted(proxy: Proxy) -> dict[str, float]:
    """penstock_quality_feedback_total, by its labels as they are written."""
    lines = [line for line in proxy.metrics().splitlines() if line.startswith("penstock_quality_feedback_total{")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_the_official_client_scores_an_answer_and_the_last_score_counts(tmp_path: Path, sandbox: Sandbox) -> None:
    with running_proxy(tmp_path, sandbox.base_url) as proxy:
        request_id, model = ask(proxy)

        first = score(proxy, {"request_id": request_id, "score": 1})
        again = score(proxy, {"request_id": request_id, "score": 1.0})
        last = score(proxy, {"request_id": request_id, "score": 0.1, "reason": "wrong"})

        assert first == {
            "object": "feedback",
            "request_id": request_id,
            "verdict": "good",
            "is_new": True,
            "is_learned": True,
        }
        assert again == {**first, "is_new": False}
        assert last == {**first, "verdict": "bad"}
        name = f'penstock_quality_feedback_total{{model="{model}",team="search",verdict='
        assert counted(proxy) == {f'{name}"good"}}': 1.0, f'{name}"bad"}}': 1.0}
        (kept,) = proxy.http.get(f"{proxy.admin_url}/admin/labels?team=search").json()["labels"]
        assert (kept["request_id"], kept["score"], kept["reason"]) == (request_id, 0.1, "wrong")
        assert kept["features"]["always"] == 1.0
    with closing(sqlite3.connect(tmp_path / "state" / "penstock.sqlite")) as ledger:
        ((content,),) = ledger.execute("SELECT content FROM labels").fetchall()
    assert b"aubergine" not in content


def test_what_a_process_was_told_is_in_what_the_next_one_begins_with(tmp_path: Path, sandbox: Sandbox) -> None:
    with running_proxy(tmp_path, sandbox.base_url) as proxy:
        for number in range(3):
            request_id, _ = ask(proxy)
            score(proxy, {"request_id": request_id, "score": number % 2})

    with closing(sqlite3.connect(tmp_path / "state" / "penstock.sqlite")) as ledger:
        (numbers,) = ledger.execute("SELECT MAX(number) FROM labels").fetchone()
        (content,) = ledger.execute("SELECT content FROM learned WHERE name = 'experience'").fetchone()
    pieces = [piece for kind, piece in json.loads(content)["pieces"] if kind == "quality"]
    assert [piece[1] for piece in pieces if piece[0] == "until"] == [numbers]
    assert len([piece for piece in pieces if piece[0] == "arm"]) == 1


def test_nobody_scores_another_teams_answer_nor_learns_that_there_is_one(proxy: Proxy) -> None:
    request_id, _ = ask(proxy, "search")

    refusals = []
    for name in (request_id, "req_0000000000000000"):
        with pytest.raises(openai.NotFoundError) as refused:
            score(proxy, {"request_id": name, "score": 1}, team="research")
        refusals.append(refused.value)

    theirs, nobodys = (each.response.json()["error"] for each in refusals)
    assert theirs["message"].replace(request_id, "") == nobodys["message"].replace("req_0000000000000000", "")
    assert (
        (theirs["code"], theirs["param"]) == (nobodys["code"], nobodys["param"]) == ("request_not_found", "request_id")
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"request_id": "req_1"},
        {"request_id": "req_1", "score": "good"},
        {"request_id": "req_1", "score": True},
        {"request_id": "req_1", "score": 1.01},
        {"request_id": "req_1", "score": -0.01},
        {"request_id": "req_1", "score": 1, "comment": "text"},
        {"request_id": "req_1", "score": 1, "reason": "because Mrs Smith says so"},
        {"request_id": 7, "score": 1},
    ],
)
def test_what_is_no_score_is_refused_as_openai_refuses(proxy: Proxy, body: object) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        score(proxy, body)

    assert refused.value.response.json()["error"]["type"] == "invalid_request_error"


def test_another_reason_is_refused_with_those_that_there_are(proxy: Proxy) -> None:
    with pytest.raises(openai.BadRequestError, match=r"one of correct, helpful, wrong, .*, other") as refused:
        score(proxy, {"request_id": "req_1", "score": 1, "reason": "great"})

    assert refused.value.param == "reason"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"request_id": "\xff", "score": 1}',
        b'{"request_id": "r", "score": NaN}',
        b'{"score": 1e999}',
        b'{"request_id": "r", "score": ' + b"[" * 4_000,
    ],
)
def test_bodies_that_are_no_such_json_are_refused(proxy: Proxy, body: bytes) -> None:
    headers = {"authorization": f"Bearer {proxy.keys['search']}"}

    assert proxy.http.post(f"{proxy.base_url}/feedback", content=body, headers=headers).status_code == 400
    assert proxy.http.post(f"{proxy.base_url}/feedback", content=b" " * 5_000, headers=headers).status_code == 413
    assert proxy.http.post(f"{proxy.base_url}/feedback", content=body).status_code == 401


def test_a_request_that_no_model_answered_cannot_be_scored(proxy: Proxy) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
    refused = proxy.chat("search", body, x_penstock_max_cost_usd="0.000000001")
    assert refused.status_code == 400

    with pytest.raises(openai.APIStatusError) as told:
        score(proxy, {"request_id": refused.headers["x-request-id"], "score": 1})

    assert told.value.response.json()["error"]["code"] in ("not_answered", "request_not_found")
