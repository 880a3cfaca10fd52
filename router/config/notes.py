"""What makes no file wrong but is of no use, or does what was hardly meant: said at the start and by `penstock check`.

Slips that can only be slips are errors (`schema`, `references`); noted is what somebody may want for now, such as a
figure for a model that is to come, and what depends on the clock: a file must not load here and fail there.
"""

from collections.abc import Container, Iterator
from datetime import date, timedelta

from router.config.schema.checks import MODELS_FOR_AGREEMENT, models_in
from router.config.schema.models import ModelsFile
from router.config.schema.policies import PolicySection
from router.config.schema.teams import TeamFile
from router.config.yaml_source import Document, KeyPath
from router.decision.policy import Objective
from router.errors import Problem
from router.quality.verify import CheckKind

_A_DAY = timedelta(days=1)  # it may be tomorrow already where the file was written
_CHECKED = (
    ("models", "*", "quality", "*", "checked"),
    ("models", "*", "quality", "*", "*", "checked"),
    ("models", "*", "deployments", "*", "prices", "*", "checked"),
    ("quality", "*", "*", "checked"),
    ("quality", "*", "*", "*", "checked"),
)


def dates_ahead(document: Document, today: date) -> Iterator[Problem]:
    """Figures of models.yaml or of a team that were checked on a day which is still to come. `today` is UTC's."""
    for pattern in _CHECKED:
        for path, written in document.matching(pattern):
            if isinstance(written, str) and date.fromisoformat(written) > today + _A_DAY:
                yield document.at_value(
                    path,
                    f"`checked` is {written}, and today is {today}; write the day on which the figure was last "
                    "compared with its source",
                )


def versions_untold(models: ModelsFile, document: Document, *, tell: Container[str]) -> Iterator[Problem]:
    """Deployments of which nobody says whether the model's figures are of what answers there.

    `tell` are the providers whose own list says what a name stands for; `document` is the file, for the places.
    """
    for name, model in models.models.items():
        rated = model.quality.version
        for number, deployment in enumerate(model.deployments):
            if rated is not None and deployment.version is None and deployment.provider not in tell:
                yield document.at_value(
                    ("models", name, "deployments", number, "provider"),
                    f"the figures of {name} are of {rated}, and {deployment.provider} has no list that tells which "
                    "version answers there; write what it is as `version` of this deployment, the same or another "
                    "(docs/money.md)",
                )


def notes_of_team(team: TeamFile, document: Document) -> Iterator[Problem]:
    """Those of a team's file that is without error; `document` is the file, for the places."""
    for name, policy in team.policies.items():
        place = ("policies", name)
        yield from _points_without_value(policy, document, place)
        yield from _agreement_without_models(policy, document, place)
        for number, check in enumerate(policy.verify):
            if check.kind is CheckKind.CODE:
                languages = ", ".join(language.value for language in check.languages)
                yield document.at_value(
                    (*place, "verify", number),
                    "every answer of this policy is taken for code, and prose fails; put the check into a rule: "
                    f"{{name: code, when: {{task: code}}, verify: {{code: [{languages}]}}}}",
                )
    yield from _figures_of_nobody(team, document)


def _points_without_value(policy: PolicySection, document: Document, place: KeyPath) -> Iterator[Problem]:
    message = (
        "`usd_per_point` counts for `objective: value` only, which does not apply here; set the objective, or leave it "
        "out"
    )
    is_used = policy.objective is Objective.VALUE
    for number, rule in enumerate(policy.rules):
        is_value = (rule.objective or policy.objective) is Objective.VALUE
        is_used = is_used or (is_value and rule.usd_per_point is None)
        if rule.usd_per_point is not None and not is_value:
            yield document.at_value((*place, "rules", number, "usd_per_point"), message)
    if policy.usd_per_point is not None and not is_used:
        yield document.at_value((*place, "usd_per_point"), message)


def _agreement_without_models(policy: PolicySection, document: Document, place: KeyPath) -> Iterator[Problem]:
    """Of rules that take the check from their policy, but name too few candidates for it."""
    if all(check.kind is not CheckKind.AGREEMENT for check in policy.verify):
        return
    for number, rule in enumerate(policy.rules):
        if rule.candidates is None or rule.verify is not None:
            continue
        models = len(models_in(rule.candidates).difference(policy.banned_models))
        if models < MODELS_FOR_AGREEMENT:
            yield document.at_value(
                (*place, "rules", number, "candidates"),
                f"`agreement`, which the policy asks for, needs {MODELS_FOR_AGREEMENT} different models, and the rule "
                f"has {models}, so no answer under it can be verified; add models, or give the rule a `verify` of its "
                "own",
            )


def _figures_of_nobody(team: TeamFile, document: Document) -> Iterator[Problem]:
    named = [alias.model for alias in team.aliases.values() if alias.model is not None]
    for policy in team.policies.values():
        named += policy.candidates
        named += [name for rule in policy.rules for name in rule.candidates or ()]
        named += [] if policy.shadow is None else [policy.shadow.model]
    used = models_in(named)
    for name in team.quality:
        [model] = models_in([name])
        if model not in used:
            yield document.at_key(
                ("quality", name),
                f"no policy or alias of this team names {model}, so its figures change nothing; make it a candidate, "
                "or leave them out",
            )
