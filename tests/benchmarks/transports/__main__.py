"""The command line of the comparison: every contender at every load in turn, round after round.

    python -m tests.benchmarks.transports .venv/transports

Ratios are to our own transport under the same load in the same round, then the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.laboratory import choose_cores, laboratory
from tests.benchmarks.processes import BenchmarkError, ChildProcess
from tests.benchmarks.scenarios import CHUNKS_PER_STREAM
from tests.benchmarks.transports.asker import Asked
from tests.benchmarks.transports.contenders import CONTENDERS, OWN, Contender
from tests.benchmarks.transports.front import tls_front

_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What contenders are asked for."""

    name: str
    callers: int = 32
    is_streamed: bool = False
    gap_ms: int = 0
    parts: int = 1  # in which an answer's cost is counted


LOADS = (
    Load("request, 1 KB"),
    Load("stream of 64 chunks, no gaps", is_streamed=True),
    Load("chunk, gaps of 5 ms", callers=16, is_streamed=True, gap_ms=5, parts=CHUNKS_PER_STREAM),
)
Figures = dict[tuple[str, str, str], list[tuple[float, Asked]]]  # by scheme, load and contender: µs and all else


def measured(contender: Contender, load: Load, origin: str, trusted: Path, options: argparse.Namespace) -> Asked:
    """One run of one contender."""
    argv = [sys.executable, "-m", "tests.benchmarks.transports.asker", f"--factory={contender.factory}"]
    argv += [f"--origin={origin}", f"--callers={load.callers}", f"--gap-ms={load.gap_ms}"]
    argv += [f"--duration-s={options.seconds}"]
    argv += [f"--trusted={trusted}"] if origin.startswith("https") else []
    argv += ["--is-streamed"] if load.is_streamed else []
    log_path = Path(trusted).with_name("asker.log")
    environment = {"PATH": os.defpath, "PYTHONPATH": str(options.directory.resolve())}
    with ChildProcess(argv, log_path=log_path, core=choose_cores().proxy, env=environment) as process:
        process.wait_for_success(_TIMEOUT_S)
        printed = log_path.read_text().splitlines()
        if not printed or not printed[-1].startswith("{"):
            raise BenchmarkError(f"{contender.name}, {load.name}: {printed}")
        return Asked(**json.loads(printed[-1]))


def all_rounds(options: argparse.Namespace) -> Figures:
    """Every contender under every load, over HTTP and over TLS."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="penstock-transports-") as scratch:
        directory = Path(scratch)
        with laboratory(directory, choose_cores()) as lab:
            if lab.upstream_tls is None or lab.upstream_tls.certificate is None:
                raise BenchmarkError("openssl is not installed")
            certificate = lab.upstream_tls.certificate
            trusted = directory / "public.pem"
            with tls_front(directory, certificate, lab.upstream.port, core=lab.cores.others) as front:
                for _ in range(options.rounds):
                    for load in LOADS:
                        for origin in (f"http://127.0.0.1:{lab.upstream.port}", front):
                            for contender in CONTENDERS:
                                if contender.is_http2 and origin != front:
                                    continue
                                asked = measured(contender, load, origin, trusted, options)
                                us = asked.cpu_s / asked.answers / load.parts * 1e6
                                at = (origin.partition(":")[0], load.name, contender.name)
                                figures.setdefault(at, []).append((us, asked))
    return figures


def as_table(figures: Figures) -> str:
    """Medians over the rounds, and of the ratios within each."""
    lines = [
        "",
        "CPU of the client's process, µs (to our own transport); pieces of a body; connections, 32 or 16 callers",
    ]
    for scheme in ("http", "https"):
        for load in LOADS:
            lines.append(f"\n{load.name}, {scheme}")
            own = [us for us, _ in figures[scheme, load.name, OWN]]
            for contender in CONTENDERS:
                found = figures.get((scheme, load.name, contender.name))
                if found is None:
                    continue
                us = [each for each, _ in found]
                ratio = statistics.median(theirs / ours for theirs, ours in zip(us, own, strict=True))
                pieces = statistics.median(asked.pieces / asked.answers for _, asked in found)
                connections = max(asked.connections for _, asked in found)
                spread = f"{min(us):.1f} to {max(us):.1f}"
                lines.append(
                    f"  {contender.name:<26} {statistics.median(us):8.1f}  ({ratio:5.2f})  {spread:>20}"
                    f"  {pieces:5.1f} pieces  {connections:3d} connections"
                )
    return "\n".join(lines)


def main() -> int:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.transports", description="Upstream transports.")
    parser.add_argument("directory", type=Path, help="where make put what is compared")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.8, help="of each run")
    options = parser.parse_args()
    try:
        print(as_table(all_rounds(options)))
    except BenchmarkError as error:
        print(f"comparison broken off: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
