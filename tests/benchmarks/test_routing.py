"""The routing simulation in small: the sandbox's bill of a few conversations, with the memory and without."""

from tests.benchmarks.conversations import Workload, conversations
from tests.benchmarks.routing import CLOSE, TARGET, Way, billed

FEW = Workload("few", conversations=20, hours=0.3)


def test_remembering_prompt_caches_takes_a_third_off_the_bill_of_models_close_in_price() -> None:
    aware, blind = billed(Way(FEW, CLOSE.name, "ahead")), billed(Way(FEW, CLOSE.name, "none"))

    assert aware.nano_usd <= TARGET * blind.nano_usd


def test_every_way_of_routing_is_asked_the_same_requests() -> None:
    one, other = conversations(FEW), conversations(FEW)

    assert one == other
    assert len(one.turns) == 400
    assert [turn.at for turn in one.turns] == sorted(turn.at for turn in one.turns)
