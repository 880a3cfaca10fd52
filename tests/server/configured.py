"""The shipped configuration, of one team, in front of a provider of the test's own."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def configured(directory: Path, port: int) -> Path:
    """A directory of configuration whose provider listens at that port."""
    config = directory / "config"
    (config / "teams").mkdir(parents=True)
    main = (CHECKOUT / "config" / "penstock.yaml").read_text()
    main = main.replace("https://openrouter.ai/api/v1", f"http://127.0.0.1:{port}/api/v1")
    (config / "penstock.yaml").write_text(main.replace("refresh_s: 300", "refresh_s: 0"))
    for name in ("models.yaml", "teams/search.yaml"):
        (config / name).write_text((CHECKOUT / "config" / name).read_text())
    return config
