"""What commands print: to the letter."""

from router.catalog.catalog import Capability
from router.cli.output import counted, explanation
from router.decision.decide import decide
from router.quality.predictor import TablePredictor
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy
from tests.replacing import replace

FLASH = at("cloud", model("maker/flash", quality=0.7), always(per_mtok("0.1", "0.2")))
PRO = at("local", model("maker/pro", quality=0.8, max_output_tokens=900), always(per_mtok("1", "4")))
RULES = replace(policy("maker/flash", "maker/pro"), default_max_output_tokens=1_000)


def test_an_explanation_lists_the_eligible_and_the_rejected() -> None:
    profile = replace(CHAT, max_output_tokens=1_000)
    decision = decide(profile, RULES, catalog(FLASH, PRO), NOON, quality=TablePredictor())

    assert explanation(decision, profile) == (
        "policy any · objective cheapest · good enough: any quality · catalog c1\n"
        "request: 1000 input tokens (o200k), task chat, language other, difficulty 0.50, needs nothing special\n"
        "\n"
        "rank  model        provider  quality  expected $  at worst $  input  output  output limit\n"
        "1 ←   maker/flash  cloud       0.700    0.000170    0.000600   1000     350          1000\n"
        "\n"
        "candidate          quality  80 % of cases  moved most by\n"
        "cloud:maker/flash    0.700  0.61 to 0.77   prior for chat 0.700 (a test, 2026-11-23)\n"
        "\n"
        "rejected:\n"
        "deployment       reason            detail\n"
        "local:maker/pro  output_too_small  1000 output tokens were asked for and it gives at most 900"
    )


def test_an_explanation_without_rejections_ends_with_the_eligible() -> None:
    decision = decide(CHAT, RULES, catalog(FLASH), NOON, quality=TablePredictor())

    assert "rejected" not in explanation(decision, CHAT)


def test_an_explanation_says_if_nobody_may_serve() -> None:
    seeing = replace(CHAT, needs=frozenset({Capability.IMAGE_INPUT}))
    decision = decide(seeing, RULES, catalog(FLASH), NOON, quality=TablePredictor())

    assert "\nnobody may serve this request\n" in explanation(decision, seeing)


def test_one_of_a_kind_is_not_told_as_many() -> None:
    assert [counted(number, "team") for number in (0, 1, 2)] == ["0 teams", "1 team", "2 teams"]
