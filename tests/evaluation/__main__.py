"""`make evaluate`: the shipped sets under fixed splits, beside the targets.

    python -m tests.evaluation [--docs]

`--docs` renews the plots in docs/quality. Takes some minutes of one core.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np

from router.cli.output import table
from router.config.text_heads import shipped_head
from router.evaluation.cascades import agreement_cascade, agreement_when_wrong
from router.evaluation.judging import FILES, SUBJECTS, TEXT, TEXT_AND_SUBJECT, TOLD, Judgement, judge
from router.evaluation.plotting import plot
from router.evaluation.splits import split_named
from router.training.outcomes import Outcomes, read_outcomes
from router.training.pairs import Pairs, joined, paired
from tests.benchmarks.feedback import TAIL, WINDOW, Line, Run, questions, run, streams

SETS = Path(__file__).with_name("sets")
PLOTS = Path(__file__).parents[2] / "docs" / "quality"

# File, cheap model, strong model.
PAIRS = {
    "MMLU": ("routellm_mmlu", "mixtral-8x7b", "gpt-4-1106"),
    "GSM8K": ("gsm8k_45models", "Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106"),
    "MMLU-Pro": ("mmlupro_29models", "gemini-1.5-flash-002", "gemini-1.5-pro-002"),
    "MATH-L5": ("math_l5_42models", "Meta-Llama-3.1-8B-Instruct", "gpt-4o-2024-05-13"),
    "CRUXEval": ("cruxeval_51models", "Meta-Llama-3.1-8B-Instruct", "gpt-4o-2024-05-13"),
}
SECOND_CHEAP = "Meta-Llama-3_1-70B-Instruct"  # beside Gemini Flash on MMLU-Pro
# Measured on the answers themselves, which the sets do not hold: the balanced accuracy of "both say the same".
MEASURED_ACCURACY = 0.75
# Of the simulation of feedback: the order of the stream, and by how much it may end below offline.
DRIFT = "subjects"
SEEDS = 3
MOST_SHORT = 0.003


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row of the table."""

    what: str
    target: str
    found: str
    is_met: bool

    def row(self) -> Sequence[str]:
        """As cells."""
        return (self.what, self.target, self.found, "met" if self.is_met else "missed")


def main() -> None:
    """Prints the table; renews the plots if asked to."""
    files = {name: read_outcomes(SETS / f"{pair[0]}.jsonl.gz") for name, pair in PAIRS.items()}
    sets = {name: paired([files[name]], cheap=PAIRS[name][1], strong=PAIRS[name][2]) for name in PAIRS}
    judged = _judged(sets)
    if "--docs" in sys.argv[1:]:
        PLOTS.mkdir(exist_ok=True)
        for name, judgement in judged.items():
            plot(judgement.lines, PLOTS / f"{_slug(name)}.png", title=name)
    for name, judgement in judged.items():
        told = [f"{line.name} {line.curve.apgr:.3f}{_interval(line.apgr_interval)}" for line in judgement.lines]
        curve = judgement.line(TEXT).curve
        shares = f"CPT50 {100 * curve.cpt(0.5):.1f}, CPT80 {100 * curve.cpt(0.8):.1f}, 95 % at "
        shares += f"{100 * curve.share_for(0.95):.1f}, 99 % at {100 * curve.share_for(0.99):.1f}"
        calibration = "" if judgement.calibration is None else f"; ECE {_two(judgement.calibration)}"
        print(f"{name} ({judgement.prompts} prompts): {'; '.join(told)}; {shares}{calibration}")
        if len(judgement.by_file) > 1:
            print("  within: " + ", ".join(f"{file} {apgr:.3f}" for file, apgr in judgement.by_file.items()))
    verdicts = [*_routing(judged), *_cascade(files["MMLU-Pro"]), *_feedback(), *_inference(sets["MMLU"])]
    print("\n" + table(("what", "target", "found", ""), [each.row() for each in verdicts]))


def _judged(sets: dict[str, Pairs]) -> dict[str, Judgement]:
    """Every split of the table, by name."""
    mixed = joined(list(sets.values()))
    others = joined([pairs for name, pairs in sets.items() if name != "MMLU"])
    runs = {
        "MMLU, unseen subjects": (sets["MMLU"], "leave-subjects-out", others),
        "MMLU, unseen subjects, MMLU alone": (sets["MMLU"], "leave-subjects-out", None),
        "MMLU, 1,500 labels": (sets["MMLU"], "labels:1500", others),
        "MMLU, 500 labels": (sets["MMLU"], "labels:500", others),
        "MMLU, 5-fold": (sets["MMLU"], "folds", None),
        "GSM8K, 5-fold": (sets["GSM8K"], "folds", None),
        "MMLU-Pro, 5-fold": (sets["MMLU-Pro"], "folds", None),
        "MMLU-Pro, unseen categories": (sets["MMLU-Pro"], "leave-subjects-out", None),
        "Mixed, 5-fold": (mixed, "folds", None),
        "One file left out": (mixed, "leave-one-dataset-out", None),
    }
    judged = {}
    for name, (pairs, split, also) in runs.items():
        begun_s = process_time()
        judged[name] = judge(pairs, split_named(split), also=also)
        print(f"{name}: {process_time() - begun_s:.0f} s", file=sys.stderr)
    return judged


def _routing(judged: dict[str, Judgement]) -> list[Verdict]:
    mixed, out = judged["Mixed, 5-fold"], judged["One file left out"]
    lowest, mean = min(out.by_file.values()), float(np.mean(list(out.by_file.values())))
    text, told = (mixed.line(name).curve.apgr for name in (TEXT, TOLD))
    files, subjects, both = (mixed.line(name).curve.apgr for name in (FILES, SUBJECTS, TEXT_AND_SUBJECT))
    assert mixed.calibration is not None
    unseen = judged["MMLU, unseen subjects"].calibration
    assert unseen is not None
    categories = judged["MMLU-Pro, unseen categories"].calibration
    assert categories is not None
    assert out.calibration is not None
    never = text >= max(files, told) and both >= subjects
    return [
        _apgr(judged, "MMLU, unseen subjects", TEXT, 0.62),
        _apgr(judged, "MMLU, 1,500 labels", TEXT, 0.63),
        _apgr(judged, "MMLU, 1,500 labels", TEXT_AND_SUBJECT, 0.63),
        _apgr(judged, "GSM8K, 5-fold", TEXT, 0.62),
        _apgr(judged, "MMLU-Pro, 5-fold", TEXT, 0.77, "kinds unknown"),
        _apgr(judged, "MMLU-Pro, 5-fold", TEXT_AND_SUBJECT, 0.80, "kinds known"),
        _apgr(judged, "Mixed, 5-fold", TEXT, 0.64),
        Verdict(
            "Mixed: never below the table of kinds",
            "text >= files, told; text and subject >= subjects",
            f"{text:.3f} >= {files:.3f}, {told:.3f}; {both:.3f} >= {subjects:.3f}",
            never,
        ),
        Verdict("One file left out, the worst", ">= 0.50", f"{lowest:.3f}", lowest >= 0.5),
        Verdict("One file left out, mean", ">= 0.53", f"{mean:.3f}", mean >= 0.53),
        Verdict("Calibration error, mixed", "<= 0.03", _two(mixed.calibration), max(mixed.calibration) <= 0.03),
        Verdict("Calibration error, unseen subjects", "<= 0.08", _two(unseen), max(unseen) <= 0.08),
        Verdict("Calibration error, unseen categories", "<= 0.08", _two(categories), max(categories) <= 0.08),
        Verdict(
            "Calibration error, file left out, its level known",
            "<= 0.08",
            _two(out.calibration),
            max(out.calibration) <= 0.08,
        ),
    ]


def _apgr(judged: dict[str, Judgement], name: str, router: str, target: float, note: str = "") -> Verdict:
    found = judged[name].line(router)
    what = f"{name}{f', {note}' if note else ''}: {router}"
    apgr = found.curve.apgr
    return Verdict(what, f">= {target:.2f}", f"{apgr:.3f}{_interval(found.apgr_interval)}", apgr >= target)


def _cascade(file: Outcomes) -> list[Verdict]:
    """Two cheap models that give the same answer are believed; else the strong one is asked."""
    cheap, second, strong = (file.column(name) for name in (PAIRS["MMLU-Pro"][1], SECOND_CHEAP, PAIRS["MMLU-Pro"][2]))
    rows = ~np.isnan(cheap + second + strong)
    cheap, second, strong = cheap[rows], second[rows], strong[rows]
    share = agreement_when_wrong(cheap, second, balanced_accuracy=MEASURED_ACCURACY)
    found = agreement_cascade(cheap, second, strong, agree_when_wrong=share)
    verdicts = []
    for ratio, least, most in ((10, 0.99, 0.60), (50, 0.96, 0.45)):
        cost = found.cost_of_strong(ratio)
        verdicts.append(
            Verdict(
                f"Verified by agreement, price ratio {ratio}",
                f">= {least:.0%} at <= {most:.2f}",
                f"{found.quality_of_strong:.1%} at {cost:.2f} (wrong answers agree: {share:.0%})",
                found.quality_of_strong >= least and cost <= most,
            )
        )
    return verdicts


def _feedback() -> list[Verdict]:
    """Learning from scores while it serves, and other subjects from half time on."""
    asked = questions(SETS / f"{PAIRS['MMLU'][0]}.jsonl.gz")
    begun_s = process_time()
    runs = [run(dict(streams(asked, seed))[DRIFT], seed) for seed in range(SEEDS)]
    print(f"feedback: {process_time() - begun_s:.0f} s", file=sys.stderr)
    return feedback_verdicts(runs)


def feedback_verdicts(runs: Sequence[Run]) -> list[Verdict]:
    """Against the prior, in every window of every run, and against offline at the end, as the runs' mean has it."""
    line = Line.of(DRIFT, runs)
    short = line.offline_at_end - line.learned_at_end
    name = f"Feedback, drift at half time, {len(runs)} seeds"
    return [
        Verdict(
            f"{name}: the worst {WINDOW:,} requests, against the prior",
            ">= 0.0000",
            f"{line.worst_window:+.4f} (below in {line.below:.1%} of windows)",
            line.worst_window >= -1e-9,  # means of a moving sum
        ),
        Verdict(
            f"{name}: the last {TAIL:,}, short of offline",
            "<= 0.0030",
            f"{short:.4f} (learned {line.learned_at_end:.4f}, prior {line.prior_at_end:.4f})",
            short <= MOST_SHORT,
        ),
    ]


def _inference(pairs: Pairs) -> list[Verdict]:
    """CPU of one prompt, the best of many rounds."""
    head = shipped_head()
    text = "\n".join(pairs.prompts[:2_000])
    verdicts = []
    for size, most_us in ((1_024, 250.0), (10_240, 700.0), (102_400, 700.0)):
        prompts = [text[begin : begin + size] for begin in range(0, 50_000, 1_000)]
        best_us = min(_round_us(head.said, prompts) for _ in range(30))
        verdicts.append(
            Verdict(f"Inference at {size:,} bytes", f"<= {most_us:.0f} us", f"{best_us:.0f} us", best_us <= most_us)
        )
    return verdicts


def _round_us(asked: object, prompts: Sequence[str]) -> float:
    assert callable(asked)
    begun_s = process_time()
    for prompt in prompts:
        asked(prompt)
    return (process_time() - begun_s) / len(prompts) * 1e6


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f" [{bounds[0]:.3f}-{bounds[1]:.3f}]"


def _two(numbers: tuple[float, float]) -> str:
    return f"{numbers[0]:.3f}, {numbers[1]:.3f}"


def _slug(name: str) -> str:
    return name.lower().replace(",", "").replace(" ", "-")


if __name__ == "__main__":
    main()
