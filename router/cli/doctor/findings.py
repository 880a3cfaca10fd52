"""What a check found: fine, worth knowing, or a fault, and what to do about it."""

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    OK = "ok"
    NOTE = "note"  # it serves; something is not as it could be
    FAULT = "fault"  # it does not serve, or not all that is configured


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the answer."""

    check: str  # what was looked at
    verdict: Verdict
    told: str
    remedy: str = ""  # what to do; empty where all is well


def fine(check: str, told: str) -> Finding:
    return Finding(check, Verdict.OK, told)


def noted(check: str, told: str, remedy: str) -> Finding:
    return Finding(check, Verdict.NOTE, told, remedy)


def fault(check: str, told: str, remedy: str) -> Finding:
    return Finding(check, Verdict.FAULT, told, remedy)
