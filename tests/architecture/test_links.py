"""Every relative link in the documents leads somewhere."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = (CHECKOUT / "README.md", CHECKOUT / "CHANGELOG.md", *sorted((CHECKOUT / "docs").rglob("*.md")))
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


def test_every_relative_link_resolves() -> None:
    links = [(document, link) for document in DOCUMENTS for link in LINK.findall(document.read_text())]

    assert len(links) > 8
    assert [f"{document.name}: {link}" for document, link in links if not (document.parent / link).exists()] == []
