"""Tokens of a request, counted without holding up the event loop.

A message costs 3 tokens beside its role and its text, a name 1 more, the reply's priming 3 (OpenAI cookbook,
How_to_count_tokens_with_tiktoken, read 2026-11). Text that looks like a special token, `<|endoftext|>` say, is counted
as the ordinary text it is. Tools are counted by the rules in `tools.py`, pictures by those in `images.py`. Texts to be
embedded, completed or judged have no frame, and prompts that come as token ids are as long as they are.

Small requests are counted where they are: a thread's round trip costs more than they do. Larger ones are walked and
counted in a worker thread, slice by slice; whoever waits for the interpreter lock gets it between two slices. Slices
that were counted before are looked up (`memo.py`).
"""

from collections.abc import Callable
from typing import Protocol

import msgspec
from anyio import CapacityLimiter, from_thread, to_thread
from msgspec import Raw

from router.decision.facts import PrefixMark
from router.tokens.images import image_tokens
from router.tokens.memo import LEAST_CHARS, SliceMemo, slice_key
from router.tokens.prefix import PromptPrefix, Roots
from router.tokens.slices import slices
from router.tokens.tools import FURTHER_TOOL_TOKENS, TOOLS_TOKENS, tool_fragments
from router.wire.requests import Message, ModelRequest, Part, is_given

MESSAGE_TOKENS = 3
ROLE_TOKENS = 1  # every role's name is one token of o200k_base and of cl100k_base
NAME_TOKENS = 1
PRIMING_TOKENS = 3

# Bodies up to this size are counted on the event loop: 0.4 ms of ordinary text, 2.5 ms of the most hostile (measured
# 2026-11-30). A thread's round trip costs 0.1 ms and makes the request wait for its turn.
INLINE_BODY_BYTES = 32 * 1024


class TokenCount(msgspec.Struct, frozen=True, gc=False):
    input_tokens: int  # of this counter's vocabulary, pictures included
    images: int
    is_exact: bool  # false with tools, schemas, files, pictures of unknown size, or text that had to be cut in a word
    prompts: int = 1  # each of which has the model's window for itself
    longest_tokens: int = 0  # of the longest of several prompts; 0: there is one
    id_tokens: int = 0  # of all, those that came as ids: of the model's own vocabulary
    # What prompt caches go by, not what the count is: two counts are equal without it.
    prefix: tuple[PrefixMark, ...] = ()  # ends of messages, shortest first
    opening: int | None = None  # the digest at the end of the first message, of the scope and all up to there
    breakpoints: tuple[int, ...] = ()  # tokens up to each cache mark of the client's

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenCount) and self._figures() == other._figures()

    def __hash__(self) -> int:
        return hash(self._figures())

    def _figures(self) -> tuple[int, ...]:
        return (self.input_tokens, self.images, self.is_exact, self.prompts, self.longest_tokens, self.id_tokens)


class Encoding(Protocol):
    """A vocabulary (vocabulary.py)."""

    def encode_flat(self, text: str, /) -> bytes:
        """The ids of the tokens of `text`, TOKEN_BYTES each: a list of numbers would take half as long again."""
        ...


TOKEN_BYTES = 4


class TokenCounter:
    """Counts with one vocabulary. Safe to share between tasks and threads."""

    def __init__(self, encoding: Encoding, *, worker_threads: int = 2) -> None:
        self._encoding = encoding
        self._memo = SliceMemo()
        self._roots = Roots()
        self._worker_threads = CapacityLimiter(worker_threads)  # its own, so that long texts starve nobody else

    async def count(self, request: ModelRequest, *, scope: str = "") -> TokenCount:
        """The tokens of `request`. Cancellation ends the work in the thread at the next slice.

        Prefixes of different scopes are never told to be equal.
        """
        if request.body_bytes <= INLINE_BODY_BYTES:
            return self.count_now(request, scope=scope)
        return await to_thread.run_sync(self._count_in_worker, request, scope, limiter=self._worker_threads)

    def count_now(self, request: ModelRequest, *, scope: str = "") -> TokenCount:
        """The same, in the calling thread however long it takes (some 60 ms for a megabyte of prose)."""
        return self._tally(_never_cancelled, scope).of(request)

    def count_text(self, text: str) -> int:
        """The tokens of `text` alone, in the calling thread."""
        tally = self._tally(_never_cancelled, "")
        tally.add_text(text)
        return tally.tokens

    def _count_in_worker(self, request: ModelRequest, scope: str) -> TokenCount:
        return self._tally(from_thread.check_cancelled, scope).of(request)

    def _tally(self, check_cancelled: Callable[[], None], scope: str) -> "_Tally":
        return _Tally(self._encoding, self._memo, self._roots, check_cancelled=check_cancelled, scope=scope)


def _never_cancelled() -> None:
    return None


class _Tally:
    """A count in the making."""

    __slots__ = ("_check_cancelled", "_encoding", "_memo", "_roots", "_scope", "images", "is_exact", "tokens")

    def __init__(
        self,
        encoding: Encoding,
        memo: SliceMemo,
        roots: Roots,
        *,
        check_cancelled: Callable[[], None],
        scope: str,
    ) -> None:
        self._encoding = encoding
        self._memo = memo
        self._roots = roots
        self._check_cancelled = check_cancelled
        self._scope = scope
        self.tokens = 0
        self.images = 0
        self.is_exact = True

    def of(self, request: ModelRequest) -> TokenCount:
        return self._of_prompts(request) if request.is_plain else self._of_chat(request)

    def _of_prompts(self, request: ModelRequest) -> TokenCount:
        """Prompts without a frame. They have no prefixes to be remembered: none goes on from another."""
        longest = max(request.token_ids, default=0)
        for message in request.messages:
            before = self.tokens
            self._add_content(message)
            longest = max(longest, self.tokens - before)
        id_tokens = sum(request.token_ids)
        prompts = len(request.messages) + len(request.token_ids)
        return TokenCount(
            self.tokens + id_tokens,
            self.images,
            self.is_exact,
            prompts=prompts,
            longest_tokens=longest if prompts > 1 else 0,
            id_tokens=id_tokens,
        )

    def _of_chat(self, request: ModelRequest) -> TokenCount:
        self._add_tools(request)
        self._add_response_format(request)
        prefix = PromptPrefix(request, roots=self._roots, scope=self._scope)
        prefix.root_ends(self.tokens, is_breakpoint=any(is_given(tool.cache_control) for tool in request.tools))
        for message in request.messages:
            self._add_message(message)
            prefix.message_ends(message, self.tokens)
        self.tokens += PRIMING_TOKENS
        return TokenCount(
            self.tokens,
            self.images,
            self.is_exact,
            prefix=prefix.marks(),
            opening=prefix.opening,
            breakpoints=prefix.breakpoints(),
        )

    def add_text(self, text: str) -> None:
        for piece, ends_safely in slices(text):
            self._check_cancelled()
            tokens = self._tokens_of(piece)
            if tokens is None:
                tokens = len(piece.encode(errors="surrogatepass"))
                self.is_exact = False
            self.tokens += tokens
            self.is_exact &= ends_safely

    def _tokens_of(self, piece: str) -> int | None:
        if len(piece) < LEAST_CHARS:
            return tokens_or_none(self._encoding, piece)
        key = slice_key(self._scope, piece.encode(errors="surrogatepass"))
        tokens = self._memo.find(key)
        if tokens is None:
            tokens = tokens_or_none(self._encoding, piece)
            if tokens is not None:
                self._memo.keep(key, tokens)
        return tokens

    def _add_message(self, message: Message) -> None:
        self.tokens += MESSAGE_TOKENS + ROLE_TOKENS
        self._add_content(message)
        if message.name:
            self.add_text(message.name)
            self.tokens += NAME_TOKENS
        # Providers give the same thoughts under both names; whoever echoes a reply sends both back.
        if thoughts := message.reasoning_content or message.reasoning:
            self.add_text(thoughts)
        for part in message.images or ():
            self._add_part(part)
        self.is_exact &= not is_given(message.audio)
        for call in message.tool_calls or ():
            self.is_exact = False
            if call.function is not None:
                self.add_text(call.function.name)
                self.add_text(call.function.arguments)

    def _add_content(self, message: Message) -> None:
        if isinstance(message.content, str):
            self.add_text(message.content)
        elif message.content is not None:
            for part in message.content:
                self._add_part(part)

    def _add_part(self, part: Part) -> None:
        if part.text is not None:
            self.add_text(part.text)
        if part.image_url is not None:  # beside a text too: which of the two counts is the provider's to say
            image = image_tokens(part.image_url.url, part.image_url.detail)
            self.images += 1
            self.tokens += image.tokens
            self.is_exact &= image.is_exact
        elif part.text is None:  # files, audio, video: only their provider knows
            self.is_exact = False

    def _add_tools(self, request: ModelRequest) -> None:
        if request.functions is not None:
            self.is_exact = False
            self.tokens += TOOLS_TOKENS
            self.add_text(bytes(request.functions).decode())
        if not request.tools:
            return
        self.is_exact = False
        self.tokens += TOOLS_TOKENS + FURTHER_TOOL_TOKENS * (len(request.tools) - 1)
        for tool in request.tools:
            for fragment in tool_fragments(tool):
                self.tokens += fragment.extra_tokens
                self.add_text(fragment.text)

    def _add_response_format(self, request: ModelRequest) -> None:
        """The schema's JSON text: providers put it into the prompt in some form that they do not publish."""
        schema = request.response_format.json_schema if request.response_format is not None else None
        if isinstance(schema, Raw):
            self.is_exact = False
            self.add_text(bytes(schema).decode())


def tokens_or_none(encoding: Encoding, text: str) -> int | None:
    """The tokens of `text`, or None if the Rust side panics.

    We know of no text that makes it panic (tiktoken did, at a million blanks), but one that came through would end the
    process: pyo3's PanicException is a BaseException, so no `except Exception` on the way up would stop it.
    """
    try:
        return len(encoding.encode_flat(text)) // TOKEN_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair, as JSON can write it: providers read U+FFFD
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return len(encoding.encode_flat(whole)) // TOKEN_BYTES
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # pyo3 gives no way to import the class
            raise
        return None
