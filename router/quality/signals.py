"""`TextSignals`: what a trained head tells of a prompt, in numbers that are kept where the prompt is not."""

import msgspec


class TextSignals(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the words of a prompt say of how hard it is. The default says nothing."""

    difficulty_logit: float = 0.0  # log-odds that a middling model fails, against the average prompt's
    familiarity: float = 0.0  # 0 to 1: the share of its words that the head has seen often enough to know
    head: str = ""  # version of the artefact that said so; empty: none was asked


NO_SIGNALS = TextSignals()
