"""The text head that ships with the package."""

from importlib.resources import files

from router.quality.text_head import TextHead, read_artefact

_SHIPPED = "difficulty.bin"  # its data card is docs/quality.md, and its own header


def shipped_head() -> TextHead:
    """The head of difficulty. Raises BrokenArtefact where the file has come to harm."""
    content = (files("router.quality") / "heads" / _SHIPPED).read_bytes()
    return TextHead(read_artefact(content, name=_SHIPPED))
