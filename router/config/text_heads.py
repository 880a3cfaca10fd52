"""The text head in force: the one that ships with the package, or the operator's own (`text_head` in penstock.yaml)."""

from importlib.resources import files
from pathlib import Path

from router.errors import BrokenArtefact
from router.quality.text_head import TextHead, read_artefact

_SHIPPED = "difficulty.bin"  # its data card is docs/quality.md, and its own header


def head_in_force(own: Path | None) -> TextHead:
    """The operator's own head, or the shipped one. Raises BrokenArtefact where the file is not there or no head."""
    if own is None:
        return shipped_head()
    try:
        content = own.read_bytes()
    except OSError as error:
        raise BrokenArtefact(f"text_head in penstock.yaml: {own} cannot be read: {error.strerror}.") from error
    return TextHead(read_artefact(content, name=str(own)))


def shipped_head() -> TextHead:
    """The head of difficulty. Raises BrokenArtefact where the file has come to harm."""
    content = (files("router.quality") / "heads" / _SHIPPED).read_bytes()
    return TextHead(read_artefact(content, name=_SHIPPED))
