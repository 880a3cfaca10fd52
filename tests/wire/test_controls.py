"""Our request headers: each at, below and above its limits, and what is not one of them."""

from decimal import Decimal

import pytest

from router.errors import InvalidRequest
from router.wire.controls import NO_CONTROLS, Controls, controls_from


def controls(**headers: str) -> Controls:
    return controls_from(
        [(f"x-penstock-{name.replace('_', '-')}".encode(), text.encode()) for name, text in headers.items()]
    )


def test_a_request_without_our_headers_has_no_controls() -> None:
    assert controls_from([(b"content-type", b"application/json"), (b"x-request-id", b"1")]) is NO_CONTROLS


def test_all_controls_together() -> None:
    given = controls(
        max_cost_usd="0.05",
        min_quality="0.9",
        max_latency_ms="2000",
        max_effort="low",
        policy="cheap",
        tags="web, team:a/b",
        dry_run="1",
    )

    assert given == Controls(
        max_cost_usd=Decimal("0.05"),
        min_quality=0.9,
        max_latency_ms=2_000,
        max_effort="low",
        policy="cheap",
        tags=("web", "team:a/b"),
        is_dry_run=True,
    )


@pytest.mark.parametrize("text", ["0.000000001", "5e-05", " 0.05 ", "1000000"])
def test_a_cost_ceiling_is_dollars_above_zero(text: str) -> None:
    assert controls(max_cost_usd=text).max_cost_usd == Decimal(text.strip())


@pytest.mark.parametrize(
    "text", ["", "0", "-0", "-0.01", "NaN", "sNaN", "Infinity", "1000000.01", "1e999999", "five", "0,05", "$1", "0x1"]
)
def test_a_cost_ceiling_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        controls(max_cost_usd=text)

    assert (caught.value.param, caught.value.code) == ("x-penstock-max-cost-usd", "invalid_control")


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0.0), ("0.0", 0.0), (".5", 0.5), ("0.95", 0.95), ("1", 1.0), ("1.0", 1.0)]
)
def test_a_quality_floor_is_a_probability(text: str, value: float) -> None:
    assert controls(min_quality=text).min_quality == value


@pytest.mark.parametrize("text", ["", "-0.1", "1.000000001", "2", "90", "90%", "nan", "inf", "1e-1", "0.1234567891"])
def test_a_quality_floor_that_is_no_probability_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        controls(min_quality=text)

    assert caught.value.param == "x-penstock-min-quality"


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("2000", 2_000), ("86400000", 86_400_000)])
def test_a_limit_on_latency_is_whole_milliseconds(text: str, value: int) -> None:
    assert controls(max_latency_ms=text).max_latency_ms == value


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "2s", "86400001", "999999999", "1e3", "٣"])
def test_a_limit_on_latency_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        controls_from([(b"x-penstock-max-latency-ms", text.encode("utf-8"))])

    assert (caught.value.param, caught.value.code) == ("x-penstock-max-latency-ms", "invalid_control")


@pytest.mark.parametrize("text", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_a_cap_on_effort_is_one_of_openrouters_words(text: str) -> None:
    assert controls(max_effort=text).max_effort == text


@pytest.mark.parametrize("text", ["", "Low", "hard", "1"])
def test_a_cap_on_effort_that_is_none_of_them_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        controls(max_effort=text)

    assert caught.value.param == "x-penstock-max-effort"


def test_an_empty_policy_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        controls(policy=" ")

    assert caught.value.param == "x-penstock-policy"


def test_a_tag_that_is_named_twice_counts_once() -> None:
    assert controls(tags="web,eval, web,web").tags == ("web", "eval")


@pytest.mark.parametrize("text", ["a", "a" * 64, ",".join("abcdefgh"), "A-z_0.9:/=-"])
def test_tags_within_their_limits(text: str) -> None:
    assert controls(tags=text).tags == tuple(text.split(","))


@pytest.mark.parametrize("text", ["", ",", "a,", "a" * 65, ",".join("abcdefghi"), "a b", "caf\u00e9", 'a"b', "a\tb"])
def test_tags_beyond_their_limits_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        controls(tags=text)

    assert caught.value.param == "x-penstock-tags"


@pytest.mark.parametrize(("text", "is_dry_run"), [("0", False), ("1", True)])
def test_a_dry_run_is_said_with_a_digit(text: str, is_dry_run: bool) -> None:
    assert controls(dry_run=text).is_dry_run is is_dry_run


@pytest.mark.parametrize("text", ["", "true", "yes", "2", "01"])
def test_a_dry_run_said_otherwise_is_refused_rather_than_paid_for(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        controls(dry_run=text)

    assert caught.value.param == "x-penstock-dry-run"


@pytest.mark.parametrize("name", ["max_cost", "max_costs_usd", "tag", "x"])
def test_a_control_that_is_misspelt_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="it is not a control") as caught:
        controls(**{name: "1"})

    assert caught.value.param == f"x-penstock-{name.replace('_', '-')}"


def test_a_control_sent_twice_is_refused_even_if_both_agree() -> None:
    header = (b"x-penstock-max-cost-usd", b"0.05")

    with pytest.raises(InvalidRequest, match="twice") as caught:
        controls_from([header, header])

    assert caught.value.param == "x-penstock-max-cost-usd"


def test_a_control_of_any_bytes_is_refused_and_not_echoed_at_length() -> None:
    for name in (b"max-cost-usd", b"min-quality", b"tags", b"dry-run", b"\xff" * 500):
        with pytest.raises(InvalidRequest) as caught:
            controls_from([(b"x-penstock-" + name, b"\xff" * 5000)])
        assert len(caught.value.message) < 300


def test_a_session_id_in_openrouters_header_is_taken_up_to_its_limit() -> None:
    assert controls_from([(b"x-session-id", b"s" * 256)]) == Controls(session_id="s" * 256)
    assert controls_from([(b"x-session-id", b"")]) == NO_CONTROLS
    with pytest.raises(InvalidRequest) as caught:
        controls_from([(b"x-session-id", b"s" * 257)])

    assert (caught.value.param, caught.value.code) == ("x-session-id", "invalid_control")
