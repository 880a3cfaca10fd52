"""Writes `dashboards/`. Change them in spend.py, routing.py and service.py, not in the files or in the browser.

    python -m deploy.grafana

Tests say that the files are what this writes, that every query is valid, and that none finds nothing where everything
has happened once.
"""

from pathlib import Path

from deploy.grafana.classic import text_of
from deploy.grafana.routing import ROUTING
from deploy.grafana.service import SERVICE
from deploy.grafana.spend import SPEND

DIRECTORY = Path(__file__).resolve().parent / "dashboards"
DASHBOARDS = (SPEND, ROUTING, SERVICE)


def main() -> None:
    for dashboard in DASHBOARDS:
        (DIRECTORY / f"{dashboard.uid}.json").write_text(text_of(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
