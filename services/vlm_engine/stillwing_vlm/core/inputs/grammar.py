"""Answers held to a JSON Schema: which tokens may come next, and which must.

JSON is compact: no optional whitespace, keys in the order of the schema. It knows the tokenizer file and no model.
A `Grammar` may be shared between threads; a `Matcher` belongs to one answer.
"""

import json
import threading
from collections import OrderedDict
from typing import Any

import llguidance
import numpy as np
import numpy.typing as npt

from stillwing_common.errors import BadGrammar
from stillwing_vlm.core.inputs.text import ChatText

_CACHED_GRAMMARS = 64


class Matcher:
    """Follows one answer through its grammar."""

    def __init__(self, matcher: Any, vocab_size: int) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size

    def allowed(self) -> npt.NDArray[np.bool_]:
        """`bool[vocab_size]`: tokens that keep the answer valid; an end token only where the answer is whole."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        mask = np.zeros(self._vocab_size, np.bool_)
        unpacked = np.unpackbits(bits, bitorder="little")[: self._vocab_size]
        mask[: unpacked.size] = unpacked
        return mask

    def accept(self, token: int) -> None:
        """Take one token that `allowed` holds."""
        if not self._matcher.consume_token(token):
            raise BadGrammar(f"the grammar gave up: {self._matcher.get_error()}")

    def forced(self) -> list[int]:
        """Take and return the tokens that can only come next; empty where there is a choice."""
        tokens = [int(token) for token in self._matcher.compute_ff_tokens()]
        if tokens and not self._matcher.consume_tokens(tokens):
            raise BadGrammar(f"the grammar gave up: {self._matcher.get_error()}")
        return tokens

    @property
    def finished(self) -> bool:
        """Nothing but the end may come now."""
        return bool(self._matcher.is_stopped())


class GrammarCompiler:
    """Schemas to grammars, the newest kept compiled. Any thread may call it."""

    def __init__(self, text: ChatText, vocab_size: int) -> None:
        """`vocab_size` is the number of logits of the model, which may be more than the tokenizer's tokens."""
        self._vocab_size = vocab_size
        self._tokenizer = llguidance.LLTokenizer(text.to_json(), n_vocab=vocab_size, eos_token=sorted(text.end_ids))
        self._lock = threading.Lock()
        self._compiled: OrderedDict[str, Any] = OrderedDict()

    def matcher(self, json_schema: str) -> Matcher:
        """A fresh matcher for answers that satisfy `json_schema`. Raises BadGrammar."""
        with self._lock:
            compiled = self._compiled.get(json_schema)
            if compiled is None:
                compiled = self._compile(json_schema)
                self._compiled[json_schema] = compiled
                while len(self._compiled) > _CACHED_GRAMMARS:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(json_schema)
            return Matcher(compiled.deep_copy(), self._vocab_size)

    def _compile(self, json_schema: str) -> Any:
        try:
            schema = json.loads(json_schema)
        except ValueError as error:
            raise BadGrammar(f"it is not JSON: {error}") from error
        if not isinstance(schema, dict):
            raise BadGrammar("a JSON Schema is a JSON object")
        grammar = llguidance.LLMatcher.grammar_from_json_schema(
            json_schema, overrides={"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
        )
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise BadGrammar(str(matcher.get_error()).splitlines()[0])
        return matcher
