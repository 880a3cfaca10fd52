"""Laws of every gate under any sequence of holds, settlements, refusals, passing windows, crashes and lost states."""

from collections import Counter
from contextlib import closing

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.limits.books import Books
from tests.limits.gate_machine import GateAgainstModel, ManyProcesses, OneProcess
from tests.limits.redis_server import RedisServer


def test_the_gate_in_memory_agrees_with_the_model() -> None:
    class InMemory(GateAgainstModel):
        def __init__(self) -> None:
            super().__init__(closing(OneProcess(Books())), Counter())

    run_state_machine_as_test(InMemory, settings=settings(max_examples=150, stateful_step_count=40, deadline=None))


def test_the_gates_in_redis_agree_with_the_model(clocked_redis: RedisServer) -> None:
    class InRedis(GateAgainstModel):
        def __init__(self) -> None:
            super().__init__(closing(ManyProcesses(clocked_redis, Books())), Counter())

    run_state_machine_as_test(InRedis, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
