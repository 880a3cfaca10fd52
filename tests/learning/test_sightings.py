"""Who has read which beginnings of prompts."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import DeploymentId
from router.learning.sightings import Sighting, Sightings

DEPLOYMENTS = [DeploymentId(f"openrouter:model-{number}") for number in range(3)]

seen = st.builds(
    Sighting,
    deployment=st.sampled_from(DEPLOYMENTS),
    at_s=st.integers(0, 10).map(lambda ms: 1_800_000_000 + ms / 1000),
    ended=st.sampled_from(["", "chat", "code"]),
)


class Plain:
    """The same, as one would write it down."""

    def __init__(self) -> None:
        self.seen: dict[int, dict[DeploymentId, Sighting]] = {}
        self.put_lately: list[int] = []

    def put(self, digest: int, new: Sighting) -> None:
        before = self.seen.setdefault(digest, {}).get(new.deployment)
        if before is not None and before.at_s >= new.at_s:
            return
        ended = new.ended or (before.ended if before is not None else "")
        self.seen[digest][new.deployment] = Sighting(new.deployment, new.at_s, ended)
        self.put_lately = [digest, *(each for each in self.put_lately if each != digest)]


@given(puts=st.lists(st.tuples(st.integers(0, 12), seen), max_size=60), most=st.integers(2, 12))
def test_what_was_put_lately_is_remembered_the_latest_of_each_deployment_and_never_more_than_may_be(
    puts: list[tuple[int, Sighting]], most: int
) -> None:
    sightings, plain = Sightings(most=most), Plain()
    for digest, new in puts:
        if digest in plain.put_lately[: most // 2]:
            plain.put(digest, new)
        else:  # it may have been forgotten since
            kept = {each.deployment: each for each in sightings.at(digest)}
            plain.seen[digest] = kept
            plain.put(digest, new)
        sightings.put(digest, new)

        assert len(sightings) <= most
        for lately in plain.put_lately[: most // 2]:
            assert {each.deployment: each for each in sightings.at(lately)} == plain.seen[lately]


def test_a_hundred_thousand_take_some_megabytes() -> None:
    sightings = Sightings(most=100_000)
    tracemalloc.start()
    try:
        for number in range(150_000):
            at_s = 1_800_000_000 + number / 100
            sightings.put(number * 0x9E3779B97F4A7C15 % 2**64, Sighting(DEPLOYMENTS[number % 3], at_s, "chat"))
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(sightings) <= 100_000
    assert taken_bytes / len(sightings) < 140
