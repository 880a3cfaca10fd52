"""What decides, and what has been learned: the same for the server, `explain` and `replay`."""

from collections.abc import Callable, Mapping
from contextlib import closing
from importlib import import_module

from router.assembly.clock import utc_now
from router.assembly.providers import unavailable
from router.assembly.stores import has_store, open_store
from router.catalog.catalog import Catalog, ModelName
from router.config.snapshot import Snapshot
from router.config.text_heads import head_in_force
from router.decision.facts import Experience
from router.gateway.planning import Board, Planner, PromptCaches
from router.keys import TeamName
from router.learning.experience import LearnedExperience
from router.learning.keeping import Keeper
from router.learning.warmth import Warmth
from router.quality.code import CodeLanguage, Parses
from router.quality.predictor import QualityPredictor, TablePredictor
from router.quality.verify import BY_SCHEMA
from router.replay.replay import Faculties
from router.tokens.count import TokenCounter
from router.tokens.vocabulary import load_encoding


def make_planner(
    snapshot: Snapshot,
    experience: Experience,
    catalog: Callable[[], Catalog],
    *,
    caches: PromptCaches | None = None,
    board: Board | None = None,
    counter: TokenCounter | None = None,
) -> Planner:
    """What decides under the configuration: the same for the server, for dry runs and for `penstock explain`.

    `catalog` is the configuration's at the prices in force, asked for each request.
    Without `caches` and `board`, as in the command, nothing is remembered: every deployment is cold, and works.
    """
    return Planner(
        snapshot,
        catalog=catalog,
        quality=make_quality(snapshot),
        counter=counter or make_counter(),
        now=utc_now,
        unavailable=unavailable(snapshot),
        experience=experience,
        head=head_in_force(snapshot.settings.text_head),
        caches=caches or Warmth(snapshot.catalog),
        board=board,
    )


def make_counter() -> TokenCounter:
    return TokenCounter(load_encoding("o200k_base"))


def make_quality(snapshot: Snapshot) -> QualityPredictor:
    """What tells how good answers will be under that configuration."""
    return TablePredictor({team.name: team.quality for team in snapshot.teams.values() if team.quality})


def make_experience(snapshot: Snapshot) -> LearnedExperience:
    """An experience that has learned nothing yet."""
    return LearnedExperience(token_ratios(snapshot), unmoved=unmoved_teams(snapshot))


def token_ratios(snapshot: Snapshot) -> Mapping[ModelName, float]:
    """What the catalog says of each model's vocabulary."""
    return {name: of[0].model.token_ratio for name, of in snapshot.catalog.deployments.items()}


def kept_experience(snapshot: Snapshot) -> LearnedExperience:
    """What the configuration's servers have learned and written down. Raises StoreUnavailable. Blocks."""
    experience = make_experience(snapshot)
    settings = snapshot.settings
    if has_store(settings):
        with closing(open_store(settings)) as store:
            Keeper(experience, store, now=utc_now).load(snapshot.catalog)
    return experience


def unmoved_teams(snapshot: Snapshot) -> frozenset[TeamName]:
    """The teams for which labels teach nothing."""
    is_on = snapshot.settings.learning.is_on
    return frozenset(name for name, team in snapshot.teams.items() if not (is_on and team.learns_quality))


def make_faculties(against: Snapshot) -> Faculties:
    """What decides and learns in a replay under that configuration, as in production."""
    return Faculties(
        quality=make_quality(against),
        learner=make_experience(against),
        memory_then=Warmth(against.catalog),
        memory_now=Warmth(against.catalog),
    )


# Together 8 MB and 30 ms, for what few policies want: so they are imported by name, where one does.
_CODE_PARSERS = {
    CodeLanguage.SQL: ("router.quality.sql", "parses_sql"),
    CodeLanguage.JAVASCRIPT: ("router.quality.javascript", "parses_javascript"),
}


def code_parsers(snapshot: Snapshot) -> Mapping[CodeLanguage, Parses]:
    """The parsers of the languages that some policy checks. What checks by schemas is imported with them, if wanted."""
    checks = [
        check
        for team in snapshot.teams.values()
        for policy in (*team.policies.values(), *team.aliases.values())
        for checks in (policy.verify, *(rule.verify or () for rule in policy.rules))
        for check in checks
    ]
    if any(check.kind in BY_SCHEMA for check in checks):
        import_module("router.quality.schema_engine")  # now, and not within the first request
    wanted = {language for check in checks for language in check.languages}
    return {
        language: getattr(import_module(module), name)
        for language, (module, name) in _CODE_PARSERS.items()
        if language in wanted
    }
