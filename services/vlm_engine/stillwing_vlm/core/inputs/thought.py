"""The bound of a line of free thought in tokens, which the grammar library lets pass within a character.

It knows tokens by their bytes alone.
"""

from collections.abc import Callable, Collection, Iterable
from functools import cached_property

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


class TokenBytes:
    """The bytes of a tokenizer's tokens; control tokens, and those beyond its vocabulary, have none."""

    def __init__(
        self, decode: Callable[[list[int]], bytes], control_ids: Iterable[int], tokens: int, vocab_size: int
    ) -> None:
        """`tokens`: that the tokenizer knows, of `vocab_size` that the model knows."""
        self._decode = decode
        self._control_ids = frozenset(control_ids)
        self._tokens = tokens
        self._vocab_size = vocab_size

    def of(self, token: int) -> bytes:
        """Of one token."""
        return b"" if token in self._control_ids or token >= self._tokens else bytes(self._decode([token]))

    @cached_property
    def firsts(self) -> npt.NDArray[np.int64]:
        """int64[vocab_size]: each token's first byte; -1 for those that have none."""
        return np.array([text[0] if text else -1 for text in self._texts])

    @cached_property
    def single(self) -> Mask:
        """bool[vocab_size]: tokens of one byte."""
        return np.array([len(text) == 1 for text in self._texts])

    @cached_property
    def _texts(self) -> list[bytes]:
        return [self.of(token) for token in range(self._vocab_size)]


class ThoughtBound:
    """Counts the tokens of one thought and ends it."""

    def __init__(self, tokens: TokenBytes, stops: Collection[str], max_tokens: int) -> None:
        """`stops`: characters that stand in no thought; with one of them, or a control token, it ends."""
        self._tokens = tokens
        self._stops = [stop.encode()[0] for stop in stops]
        # Both are looked at once for all tokens: here, and not where a step would wait for it.
        self._ends = np.isin(tokens.firsts, [-1, *self._stops])
        self._single = tokens.single
        self._left = max_tokens
        self._open = True

    def take(self, tokens: list[int]) -> None:
        """Count what was chosen."""
        for token in tokens:
            text = self._tokens.of(token)
            self._open = self._open and bool(text) and not any(stop in text for stop in self._stops)
            self._left -= self._open

    def allowed(self, mask: Mask) -> Mask:
        """What of `mask` may come next: past the bound what ends the thought, or the rest of a character."""
        if not self._open or self._left > 0:
            return mask
        ending = mask & self._ends
        return ending if ending.any() else mask & self._single
