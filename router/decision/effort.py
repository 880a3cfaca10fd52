"""How hard a model is to think: what the client asked, the policy would like, and at most allows, made one.

A candidate that stands in a policy with an effort (`model@effort`) has this for its wish, in place of the policy's.
"""

from router.catalog.catalog import Capability, Deployment, Effort, Model
from router.decision.facts import RequestProfile

_STRENGTH = {effort: strength for strength, effort in enumerate(Effort)}

# What OpenRouter makes of thinking that is asked for without saying how hard (its sandbox's judge reads it so too).
_UNSAID = Effort.MEDIUM


def weaker(first: Effort | None, second: Effort | None) -> Effort | None:
    """The lower of two caps; None is no cap."""
    if first is None or second is None:
        return second if first is None else first
    return min(first, second, key=_STRENGTH.__getitem__)


def effort_to_set(
    profile: RequestProfile, deployment: Deployment, *, wish: Effort | None, most: Effort | None
) -> Effort | None:
    """The effort to write into the request; None: as the client sent it.

    `wish` is for clients that say nothing, `most` for everybody. Where the catalog knows a model's efforts, the
    strongest that is not above is taken: providers round an effort they do not know upwards.
    """
    if (wish is None and most is None) or Capability.REASONING not in deployment.capabilities:
        return None
    asked = profile.effort
    if asked is not None:
        level: Effort | None = asked
    elif Capability.REASONING in profile.needs:
        level = asked = _UNSAID
        if wish is not None and wish is not Effort.NONE:
            level, asked = wish, None
    else:
        level = wish if wish is not None else deployment.model.default_effort
        asked = deployment.model.default_effort if wish is None else None
    if level is None:
        return None
    level = weaker(level, most)
    if level is None or (level is asked and (most is None or level is Effort.NONE)):
        return None
    known = _known(deployment, level)  # under a cap also of what was asked: it may be rounded up past the cap
    return None if known is asked else known


def efforts_of(model: Model) -> tuple[Effort, ...]:
    """What the model can be asked for, weakest first: all of them where that is not known; none if it cannot think."""
    if Capability.REASONING not in model.capabilities:
        return ()
    return tuple(effort for effort in Effort if not model.efforts or effort in model.efforts)


def effort_asked(profile: RequestProfile) -> Effort | None:
    """How hard the client asks to think; None: it says nothing, and each model does as it does by default."""
    return profile.effort or (_UNSAID if Capability.REASONING in profile.needs else None)


def effort_in_force(told: Effort | None, asked: Effort | None, model: Model) -> Effort | None:
    """How hard the model thinks: as we tell it, else as the client asks (`effort_asked`), else by default; None: not
    known. A forecast is asked for that effort, and a label is of it."""
    return told or asked or model.default_effort


def above_most(deployment: Deployment, most: Effort | None) -> Effort | None:
    """The least the model can think, if even that is more than allowed."""
    efforts = deployment.model.efforts
    if most is None or not efforts or Capability.REASONING not in deployment.capabilities:
        return None
    least = min(efforts, key=_STRENGTH.__getitem__)
    return least if _STRENGTH[least] > _STRENGTH[most] else None


def _known(deployment: Deployment, level: Effort) -> Effort:
    efforts = deployment.model.efforts
    if not efforts or level in efforts:
        return level
    below = [each for each in efforts if _STRENGTH[each] < _STRENGTH[level]]
    return max(below, key=_STRENGTH.__getitem__) if below else min(efforts, key=_STRENGTH.__getitem__)
