"""Lays out what the site is built from: the pages of docs/, README.md as the first of them, and the navigation.

`python -m tests.documentation.site DIRECTORY` writes it there; `make docs` has it built. Links to what is no page of
the site (code, configuration, tests) become the plain names of the files: it has to be readable without the code.
"""

import posixpath
import re
import shutil
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)\s#]+)(#[^)\s]*)?\)")


def lay_out(target: Path) -> None:
    """The site's sources, in place of whatever is in `target`."""
    shutil.rmtree(target, ignore_errors=True)
    pages = target / "docs"
    shutil.copytree(CHECKOUT / "docs", pages)
    shutil.copyfile(Path(__file__).with_name("zensical.toml"), target / "zensical.toml")
    for page in pages.rglob("*.md"):
        there = page.relative_to(target).as_posix()
        page.write_text(linked(page.read_text(encoding="utf-8"), there, to=there), encoding="utf-8")
    for name, page_name in (("README.md", "index.md"), ("CHANGELOG.md", "changelog.md")):
        text = (CHECKOUT / name).read_text(encoding="utf-8")
        (pages / page_name).write_text(linked(text, name, to=f"docs/{page_name}"), encoding="utf-8")


def linked(text: str, written_for: str, *, to: str) -> str:
    """The text of a page at `written_for` in the checkout, with links as they must be at `to`."""

    def relinked(found: re.Match[str]) -> str:
        label, target, anchor = found[1], found[2], found[3] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(written_for), target))
        path = {"README.md": "docs/index.md", "CHANGELOG.md": "docs/changelog.md"}.get(path, path)
        if not path.startswith("docs/"):
            return label if label.startswith("`") else f"{label} (`{path}`)" if label != path else f"`{path}`"
        if (CHECKOUT / path).is_dir():
            return label
        return f"[{label}]({posixpath.relpath(path, posixpath.dirname(to))}{anchor})"

    return _LINK.sub(relinked, text)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
