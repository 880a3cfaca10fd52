"""A slice that was counted before is not counted again, and what is remembered has an end."""

from hypothesis import given
from hypothesis import strategies as st
from splintr import Tokenizer

from router.tokens.count import TOKEN_BYTES, TokenCounter
from router.tokens.memo import LEAST_CHARS, SliceMemo, slice_key
from tests.tokens.conftest import RequestMaker


class WordCounter:
    """An encoding with a token for each word, that knows how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def encode_flat(self, text: str) -> bytes:
        self.asked += 1
        return bytes(TOKEN_BYTES * len(text.split()))


def test_a_long_text_is_encoded_once(request_of: RequestMaker) -> None:
    encoding = WordCounter()
    counter = TokenCounter(encoding)
    request = request_of.asking("word " * (LEAST_CHARS // 5 + 1))

    first = counter.count_now(request, scope="search")
    again = counter.count_now(request, scope="search")

    assert first == again
    assert encoding.asked == 1


def test_a_prompt_that_goes_on_is_counted_from_where_it_went_on(request_of: RequestMaker) -> None:
    encoding = WordCounter()
    counter = TokenCounter(encoding)
    text = " ".join(map(str, range(10_000)))
    counter.count_now(request_of.asking(text))
    before = encoding.asked

    counter.count_now(request_of.asking(text + " and so on"))

    assert before > 10
    assert encoding.asked - before == 1  # the slice in which the first one ended


def test_another_team_finds_nothing_of_it(request_of: RequestMaker) -> None:
    encoding = WordCounter()
    counter = TokenCounter(encoding)
    request = request_of.asking("word " * LEAST_CHARS)
    counter.count_now(request, scope="search")
    before = encoding.asked

    counter.count_now(request, scope="support")

    assert encoding.asked == 2 * before


def test_the_slice_not_seen_for_longest_is_forgotten_first() -> None:
    memo = SliceMemo(most_slices=2)
    first, second, third = (slice_key("search", text) for text in (b"first", b"second", b"third"))
    memo.keep(first, 1)
    memo.keep(second, 2)
    memo.find(first)

    memo.keep(third, 3)

    assert (memo.find(first), memo.find(second), memo.find(third)) == (1, None, 3)


@given(texts=st.lists(st.tuples(st.text(min_size=1, max_size=80), st.integers(1, 200)), min_size=1, max_size=4))
def test_what_is_remembered_is_what_would_be_counted(
    counter: TokenCounter, o200k: Tokenizer, request_of: RequestMaker, texts: list[tuple[str, int]]
) -> None:
    request = request_of([{"role": "user", "content": text * times} for text, times in texts])

    counted = [counter.count_now(request) for _ in range(2)]

    assert counted == [TokenCounter(o200k).count_now(request)] * 2


def test_half_of_a_surrogate_pair_counts_as_what_stands_for_it(counter: TokenCounter) -> None:
    for times in (1, LEAST_CHARS):
        assert counter.count_text("a\ud800b" * times) == counter.count_text("a\ufffdb" * times)
