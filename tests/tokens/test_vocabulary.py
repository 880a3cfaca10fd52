"""The shipped vocabularies are the published ones and need nothing but their files."""

import hashlib
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from tiktoken import Encoding

from router.tokens import vocabulary
from router.tokens.vocabulary import DamagedVocabulary, VocabularyName, load_encoding


def test_known_texts_have_their_published_tokens(o200k: Encoding, cl100k: Encoding) -> None:
    # cl100k: OpenAI cookbook, How_to_count_tokens_with_tiktoken; o200k: the same page's comparison of encodings.
    assert cl100k.encode_ordinary("tiktoken is great!") == [83, 1609, 5963, 374, 2294, 0]
    assert o200k.encode_ordinary("antidisestablishmentarianism") == [493, 129901, 376, 160388, 21203, 2367]


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_every_line_of_a_file_holds_the_rank_of_its_place(name: VocabularyName) -> None:
    content = files("router.tokens").joinpath("vocabularies", f"{name}.tiktoken").read_bytes()

    ranks = [int(rank) for rank in content.split()[1::2]]

    assert ranks == list(range(len(ranks)))


def test_special_tokens_keep_their_numbers(o200k: Encoding, cl100k: Encoding) -> None:
    assert o200k.encode_single_token("<|endofprompt|>") == 200018
    assert cl100k.encode_single_token("<|endofprompt|>") == 100276


def test_a_damaged_file_is_refused_with_both_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vocabularies").mkdir()
    (tmp_path / "vocabularies" / "o200k_base.tiktoken").write_bytes(b"IQ== 0\n")
    monkeypatch.setattr(vocabulary, "files", lambda _package: tmp_path)

    with pytest.raises(DamagedVocabulary) as caught:
        load_encoding("o200k_base")

    assert hashlib.sha256(b"IQ== 0\n").hexdigest() in caught.value.message
    assert "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d" in caught.value.message


def test_loading_neither_opens_a_socket_nor_heeds_tiktokens_cache_directory(tmp_path: Path) -> None:
    program = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): raise AssertionError('network')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from router.tokens.vocabulary import load_encoding\n"
        "sys.stdout.write(str(len(load_encoding('o200k_base').encode_ordinary('hello world'))))\n"
    )
    root = Path(vocabulary.__file__).parents[2]

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        env={"TIKTOKEN_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert done.stdout == "2"
    assert list(tmp_path.iterdir()) == []
