"""`penstock train` and `penstock evaluate`, from the command line to the files they write."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from router.assembly.clock import utc_now
from router.cli.main import penstock
from router.config.settings import environment
from router.errors import PenstockError
from router.quality.labels import Label
from router.quality.text_head import TextHead, read_artefact
from router.storage.sqlite import SqliteStore
from tests.evaluation.ledgers import FLASH, GPT, world
from tests.replacing import replace

CONFIG = Path(__file__).resolve().parents[2] / "config"


def exam(file: Path, *, rows: int = 120) -> Path:
    """Sums that both can do, proofs that only the strong one can; but every ninth is otherwise."""
    lines = []
    for row in range(rows):
        is_proof, is_odd = row % 2, row % 9 == 0
        prompt = f"Prove that lemma {row} holds." if is_proof else f"What is {row} plus 3?"
        score = {"cheap": int(is_proof == is_odd), "strong": 1}
        lines.append(json.dumps({"prompt": prompt, "subject": "proofs" if is_proof else "sums", "score": score}))
    file.write_text("\n".join(lines))
    return file


def asked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(penstock, [str(each) for each in arguments])


def test_evaluation_tells_the_curve_and_writes_it_as_json_and_png(tmp_path: Path) -> None:
    result = asked(
        "evaluate", exam(tmp_path / "exam.jsonl"), "--json", tmp_path / "out.json", "--png", tmp_path / "out.png"
    )

    assert result.exit_code == 0, result.output
    assert "exam: cheap → strong" in result.output
    assert "always strong" in result.output
    data = json.loads((tmp_path / "out.json").read_bytes())
    ours = next(line for line in data["routers"] if line["router"] == "text head")
    assert ours["apgr"] > 0.6
    assert ours["strong_share"][0] == 0.0
    assert ours["cost"][-1] == 1.0
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_a_trained_head_is_judged_as_it_is(tmp_path: Path) -> None:
    file, out = exam(tmp_path / "exam.jsonl"), tmp_path / "head.bin"

    trained = asked("train", file, "--out", out, "--cheap", "cheap", "--strong", "strong")
    judged = asked("evaluate", file, "--head", out)

    assert trained.exit_code == 0, trained.output
    head = TextHead(read_artefact(out.read_bytes(), name="head.bin"))
    assert head.version in trained.output
    assert f"head {head.version}" in judged.output


def test_without_a_pair_a_head_of_difficulty_is_trained(tmp_path: Path) -> None:
    out = tmp_path / "head.bin"

    asked("train", exam(tmp_path / "exam.jsonl"), "--out", out)

    assert [each.name for each in read_artefact(out.read_bytes(), name="head").header.heads] == ["difficulty"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--cheap", "nobody"), "has none of nobody; it has: cheap, strong"),
        (("--split", "leave-one-dataset-out"), "All prompts are of one of the files"),
        (("--head", "exam.jsonl"), "exam.jsonl is not a text head"),
        (("--split", "labels:1000"), "--split labels:1000: beside a fold there are 96 prompts"),
        (("--json", "no/where.json"), "no/where.json cannot be written: there is no directory no"),
        (("--price-ratio", "nan"), "--price-ratio and --strong-usd want a number, got nan"),
        (("--png", "no/where.png"), "no/where.png cannot be written: there is no directory no"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    arguments: tuple[str, str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = asked("evaluate", exam(tmp_path / "exam.jsonl"), *arguments)

    assert isinstance(result.exception, PenstockError)
    assert told in result.exception.message


def test_that_a_file_cannot_be_written_is_told_before_anything_is_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it has begun to learn")

    monkeypatch.setattr("router.cli.judging.judge", never)
    monkeypatch.setattr("router.cli.judging.make_head", never)
    file = exam(tmp_path / "exam.jsonl")

    for arguments in (("evaluate", file, "--json"), ("evaluate", file, "--png"), ("train", file, "--out")):
        result = asked(*arguments, tmp_path / "no" / "where")
        assert isinstance(result.exception, PenstockError)
        assert "there is no directory" in result.exception.message


def test_one_thread_learns_unless_more_are_asked_for() -> None:
    program = (
        "import sys; sys.argv = ['penstock', 'evaluate', 'no-such-file']\n"
        "from router.cli.main import main\n"
        "from router.config.settings import environment\n"
        "try:\n    main()\nfinally:\n    print('threads', environment()['OMP_NUM_THREADS'])"
    )
    without = {name: value for name, value in environment().items() if name != "OMP_NUM_THREADS"}

    def told(settings: dict[str, str]) -> str:
        answer = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=False, text=True, env=settings
        )
        return answer.stdout.splitlines()[-1]

    assert told(without) == "threads 1"
    assert told({**without, "OMP_NUM_THREADS": "3"}) == "threads 3"


def test_serving_loads_nothing_that_only_training_needs() -> None:
    told = (
        "import sys, router.cli.main; print([name for name in ('numpy', 'scipy', 'matplotlib') if name in sys.modules])"
    )

    answer = subprocess.run([sys.executable, "-c", told], capture_output=True, check=True, text=True)

    assert answer.stdout.strip() == "[]"


def test_without_the_packages_the_command_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['scipy'] = None\n"  # how Python is told that a package is not there
        f"sys.argv = ['penstock', 'evaluate', {str(tmp_path / 'x')!r}]\n"
        "from router.cli.main import main\nmain()"
    )

    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, text=True)

    assert answer.returncode == 1
    assert answer.stderr.strip().endswith("pip install 'penstock[train]'")


def test_help_is_told_without_the_packages(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "for each in ('numpy', 'scipy', 'matplotlib'):\n    sys.modules[each] = None\n"
        "sys.argv = ['penstock', *{arguments}]\n"
        "from router.cli.main import main\nmain()"
    )

    def told(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", program.replace("{arguments}", repr(arguments))],
            capture_output=True,
            check=True,
            text=True,
        ).stdout

    assert "Judge routing between a cheap and a strong model" in told("--help")
    assert "--split" in told("evaluate", "--help")
    assert "--licence" in told("train", "-h")


def test_where_the_strong_model_is_no_better_a_sentence_says_so_and_no_figure_pretends(tmp_path: Path) -> None:
    file, out, drawn = tmp_path / "exam.jsonl", tmp_path / "out.json", tmp_path / "out.png"
    rows = [{"prompt": f"What is {row} plus 3?", "score": {"a": row % 2, "b": row % 2}} for row in range(60)]
    file.write_text("\n".join(map(json.dumps, rows)))

    result = asked("evaluate", file, "--cheap", "a", "--strong", "b", "--json", out, "--png", drawn)

    assert result.exit_code == 0
    assert result.output == (
        "exam: a → b: the strong model is no better here (0.5000 against 0.5000 on 60 prompts), so there is no gap to "
        "recover: send all to the cheap one.\n"
    )
    ours = json.loads(out.read_bytes())["routers"][0]
    assert (ours["apgr"], ours["apgr_95"], ours["cpt_50"], ours["cpt_80"]) == (None, None, None, None)
    assert drawn.exists()


def test_json_is_printed_in_place_of_the_table_for_a_dash(tmp_path: Path) -> None:
    result = asked("evaluate", exam(tmp_path / "exam.jsonl"), "--json", "-")

    assert json.loads(result.output)["prompts"] == 120


def test_names_of_models_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "exam.jsonl"
    rows = [
        {"prompt": f"What is {row} plus 3?", "score": {"\x1b[2Ja": row % 2, "b\x07": 1, "c\n": 0}} for row in range(60)
    ]
    file.write_text("\n".join(map(json.dumps, rows)))

    judged = asked("evaluate", file, "--cheap", "\x1b[2Ja", "--strong", "b\x07")
    refused = asked("evaluate", file, "--cheap", "nobody")
    alone = asked("train", file, "--out", tmp_path / "x", "--cheap", "b\x07", "--strong", "b\x07")

    assert "\\x1b[2Ja → b\\x07" in judged.output
    for result in (refused, alone):
        assert isinstance(result.exception, PenstockError)
        assert result.exception.message.isprintable()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Name FILES of prompts with outcomes, or give --replay to judge on the ledger."),
        (("x.jsonl", "--replay"), "FILES and --replay are judged apart: leave one out."),
        (("x.jsonl", "--team", "search"), "--team is of the ledger: add --replay."),
        (("--replay", "--split", "folds"), "--split is of FILES, and not of --replay."),
    ],
)
def test_files_and_ledger_are_told_apart(arguments: tuple[str, ...], told: str) -> None:
    result = asked("evaluate", *arguments)

    assert isinstance(result.exception, PenstockError)
    assert result.exception.message == told


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory whose ledger has two thousand requests of the last hour, of which a third are scored."""
    directory = tmp_path_factory.mktemp("state")
    entries, labels = world(2_000, share=0.4, until=utc_now())
    store = SqliteStore(directory / "penstock.sqlite")
    store.write(entries)
    store.keep_labels(labels)
    store.close()
    return directory


def replayed(state: Path, *arguments: str | Path) -> Result:
    words = ["evaluate", "--replay", "--config", CONFIG, *arguments]
    return CliRunner().invoke(penstock, [str(each) for each in words], env={"STATE_DIRECTORY": str(state)})


def test_a_ledger_with_scores_is_judged_and_says_what_is_known_of_how_many(books: Path, tmp_path: Path) -> None:
    result = replayed(books, "--team", "search", "--since", "1d", "--png", tmp_path / "curve.png")

    assert result.exit_code == 0, result.output
    first, known, both, *_ = result.output.splitlines()
    assert first.startswith("team search, since 20")
    assert first.endswith(f": {FLASH} → {GPT}")
    assert known.startswith("2000 answered requests, 8")
    assert known.endswith("of each the outcome of one model is known, and that of the other estimated")
    assert both.startswith("both outcomes known of 0 ")
    for word in ("always cheap", "always strong", "random", "table of kinds", "forecast", "RouterArena", "CPT(80)"):
        assert word in result.output
    assert "nan" not in result.output
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_judgement_of_a_ledger_is_written_as_json_or_printed(books: Path, tmp_path: Path) -> None:
    until = "2099-01-01"  # the moment of the command would differ
    written = replayed(books, "--until", until, "--since", "2026-01-01", "--json", tmp_path / "out.json")
    printed = replayed(books, "--until", until, "--since", "2026-01-01", "--json", "-")

    data = json.loads((tmp_path / "out.json").read_bytes())
    assert json.loads(printed.output) == data
    assert "always cheap" in written.output
    assert (data["team"], data["models"]) == (None, {"cheap": FLASH, "strong": GPT})
    assert data["requests"]["answered"] == 2_000
    assert data["requests"]["judged"] == data["requests"]["scored"]
    assert 0.3 < data["gap"] * 2 < 0.8


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--team", "research"), "None of 0 answered requests of this time has a score; send scores with POST"),
        (("--team", "serach"), "There is no team 'serach'."),
        (("--since", "1h", "--until", "2h"), "--since 1h is not before --until 2h; give an earlier one."),
        (("--since", "soon"), "`since` takes hours (24h), days (7d) or an ISO date"),
        (("--cheap", "nobody"), "No scored request was drawn between these two; of this time there are:"),
        (("--json", "no/where.json"), "no/where.json cannot be written: there is no directory no"),
    ],
)
def test_what_a_ledger_cannot_tell_is_said_in_a_sentence(books: Path, arguments: tuple[str, ...], told: str) -> None:
    result = replayed(books, *arguments)

    assert isinstance(result.exception, PenstockError)
    assert result.exception.message.startswith(told)


def test_where_nothing_was_served_nothing_is_judged_and_no_books_are_begun(tmp_path: Path) -> None:
    result = replayed(tmp_path)

    assert isinstance(result.exception, PenstockError)
    assert result.exception.message.startswith("There are no books in ")
    assert not list(tmp_path.iterdir())


def test_scores_that_tell_no_gap_are_told_without_shares_of_it(tmp_path: Path) -> None:
    entries, labels = world(400, until=utc_now())
    same: list[Label] = [replace(each, score=1.0 if number % 5 else 0.0) for number, each in enumerate(labels)]
    store = SqliteStore(tmp_path / "penstock.sqlite")
    store.write(entries)
    store.keep_labels(same)
    store.close()

    result = replayed(tmp_path)

    assert result.exit_code == 0
    assert "it cannot be told that the strong model is better" in result.output
    assert "APGR" not in result.output
