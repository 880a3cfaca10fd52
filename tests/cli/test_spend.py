"""`penstock spend` adds up, and says where its lines do not."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from router.cli.main import penstock
from router.ledger import FAILED_VERIFICATION
from router.storage.sqlite import SqliteStore
from tests.storage.entries import GPT, attempt, entry

CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.mark.parametrize(
    ("by", "note"),
    [
        ("team", ""),
        (
            "model",
            "A request with calls in several lines counts in each; a call's tokens and cost in its own line only.",
        ),
        ("tag", "A request with several tags stands in full under each of them; the total counts it once."),
    ],
)
def test_a_request_in_several_lines_is_said_and_the_total_counts_it_once(tmp_path: Path, by: str, note: str) -> None:
    escalated = entry("req_1", attempt(outcome=FAILED_VERIFICATION), attempt(model=GPT), tags=("a", "b"))
    SqliteStore(tmp_path / "penstock.sqlite").write([escalated])

    done = CliRunner().invoke(
        penstock, ["spend", "--config", str(CONFIG), "--by", by], env={"STATE_DIRECTORY": str(tmp_path)}
    )

    assert done.exit_code == 0
    assert done.stdout.endswith("\ntotal $0.000294\n")
    assert done.stderr.strip() == note


def test_lines_that_do_not_overlap_have_no_note(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "penstock.sqlite").write([entry("req_1"), entry("req_2", attempt(model=GPT))])

    done = CliRunner().invoke(
        penstock, ["spend", "--config", str(CONFIG), "--by", "model"], env={"STATE_DIRECTORY": str(tmp_path)}
    )

    assert (done.exit_code, done.stderr) == (0, "")
