"""Answers held to a form: which tokens may come next, and which must.

A form is a JSON Schema, compact or in a model's own white space, keys in the order of the schema; or a call of one of
several tools in the form that a chat template gives calls; either perhaps after a line of free thought. It knows the
tokenizer file and no model. A `Matcher` belongs to one answer.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llguidance
import numpy as np
import numpy.typing as npt

from stillwing_common.errors import BadGrammar, InvalidInput
from stillwing_vlm.core.conversation import Tool, json_object
from stillwing_vlm.core.inputs.schemas import check_schema
from stillwing_vlm.core.inputs.templates.tool_calls import CallForm
from stillwing_vlm.core.inputs.text import ChatText
from stillwing_vlm.core.inputs.thought import ThoughtBound, TokenBytes

_CACHED_GRAMMARS = 64
_OPEN_WORDS = {
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "patternProperties",
    "unevaluatedProperties",
}
"""Where one of these stands, a schema says itself which other arguments there may be."""

COMPACT = (",", ":")
"""What stands between items and behind keys in JSON without white space."""


class Matcher:
    """Follows one answer through its grammar."""

    def __init__(self, matcher: Any, vocab_size: int, thought: ThoughtBound | None = None) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size
        self._thought = thought

    def allowed(self) -> npt.NDArray[np.bool_]:
        """`bool[vocab_size]`: tokens that keep the answer valid; an end token only where the answer is whole."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._matcher.is_error():
            raise self._gave_up()
        mask = np.zeros(self._vocab_size, np.bool_)
        unpacked = np.unpackbits(bits, bitorder="little")[: self._vocab_size]
        mask[: unpacked.size] = unpacked
        return mask if self._thought is None else self._thought.allowed(mask)

    def accept(self, token: int) -> None:
        """Take one token that `allowed` holds."""
        self._consume([token])

    def forced(self) -> list[int]:
        """Take and return the tokens that can only come next; empty where there is a choice."""
        tokens = [int(token) for token in self._matcher.compute_ff_tokens()]
        if tokens:
            self._consume(tokens)
        return tokens

    def _consume(self, tokens: list[int]) -> None:
        if not self._matcher.consume_tokens(tokens):
            raise self._gave_up()
        if self._thought is not None:
            self._thought.take(tokens)

    def _gave_up(self) -> BadGrammar:
        problem = _in_one_line(self._matcher.get_error())
        return BadGrammar(
            f"the answer came to a place that is too wide for a grammar: {problem}; ask for fewer properties that may "
            "be left out, or for shorter patterns"
        )

    @property
    def finished(self) -> bool:
        """Nothing but the end may come now."""
        return bool(self._matcher.is_stopped())


@dataclass(frozen=True, slots=True)
class Thought:
    """A line of at most `max_tokens` tokens before an answer's `separator` and what follows it.

    It holds no end of a line and not the character with which what follows begins.
    """

    max_tokens: int
    separator: str = "\n"
    following: str = ""

    def __post_init__(self) -> None:
        if (self.separator + self.following)[:1] not in self.stops:
            raise InvalidInput("in this model's form of calls there is no room for a thought", limit=0)

    @property
    def stops(self) -> frozenset[str]:
        """Characters that stand in no thought."""
        return frozenset(("\n", *self.following[:1]))


class GrammarCompiler:
    """Forms to grammars, the newest kept compiled. Any thread may call it."""

    def __init__(self, text: ChatText, vocab_size: int) -> None:
        """`vocab_size` is the number of logits of the model, which may be more than the tokenizer's tokens."""
        self._text = text
        self._vocab_size = vocab_size
        self._tokenizer = llguidance.LLTokenizer(
            text.to_nameless_json(), n_vocab=vocab_size, eos_token=sorted(text.end_ids)
        )
        self._bytes = TokenBytes(self._tokenizer.decode_bytes, text.control_ids.values(), text.vocab_size, vocab_size)
        self._lock = threading.Lock()
        self._compiled: OrderedDict[str, Any] = OrderedDict()

    def json(self, json_schema: str, separators: tuple[str, str] = COMPACT, thought: Thought | None = None) -> Matcher:
        """A fresh matcher for JSON that satisfies `json_schema`. Raises BadGrammar."""
        schema = _schema(json_schema)
        if thought is None:
            return self._matcher(_json_grammar(schema, separators), None)
        return self._matcher(f"{self._start(thought)}body: %json {_with_style(schema, separators)}\n", thought)

    def call(self, form: CallForm, tools: Sequence[Tool], thought: Thought | None = None) -> Matcher:
        """A fresh matcher for one call of one of `tools`. Raises BadGrammar."""
        separators = (form.item_separator, form.key_separator)
        rules = [self._start(thought)]
        names = " | ".join(f"call_{at}" for at in range(len(tools)))
        rules.append(f"body: {self._words(form.opening)} ({names}) {self._words(form.closing)}\n")
        for at, tool in enumerate(tools):
            rules.append(f"call_{at}: {self._words(tool.name + form.middle)} arguments_{at}\n")
            rules.append(f"arguments_{at}: %json {_with_style(_arguments(tool), separators)}\n")
        return self._matcher("".join(rules), thought)

    def check(self, tool: Tool) -> None:
        """Raises BadGrammar, which names the tool, where no grammar can be made of its calls."""
        try:
            self.json(json.dumps(_arguments(tool)))
        except BadGrammar as error:
            raise BadGrammar(f"the parameters of {tool.name}: {error.detail}", tool=tool.name) from error

    def _start(self, thought: Thought | None) -> str:
        if thought is None:
            return "start: body\n"
        outside = "".join(f"\\x{{{ord(stop):x}}}" for stop in sorted(thought.stops))
        separator = f" {self._words(thought.separator)}" if thought.separator else ""
        return f"start: (thought{separator})? body\nthought: /[^\\s{outside}][^{outside}]*/\n"

    def _words(self, text: str) -> str:
        """A template's text in the grammar language: control tokens by id, the rest as it is."""
        parts = self._text.split(text)
        return " ".join(f"<[{part}]>" if isinstance(part, int) else json.dumps(part) for part in parts)

    def _matcher(self, grammar: str, thought: Thought | None) -> Matcher:
        with self._lock:
            compiled = self._compiled.get(grammar)
        if compiled is None:
            # Beside the lock: one caller's large schema keeps no other's small one waiting.
            compiled = self._compile(grammar)
        with self._lock:
            compiled = self._compiled.setdefault(grammar, compiled)
            self._compiled.move_to_end(grammar)
            while len(self._compiled) > _CACHED_GRAMMARS:
                self._compiled.popitem(last=False)
            copied = compiled.deep_copy()
        bound = None if thought is None else ThoughtBound(self._bytes, thought.stops, thought.max_tokens)
        return Matcher(copied, self._vocab_size, bound)

    def _compile(self, grammar: str) -> Any:
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise _refused(matcher.get_error())
        return matcher


def _in_one_line(problem: object) -> str:
    """The library's words without the parser's state, which it puts behind them."""
    return " ".join(str(problem).partition("<state>")[0].split())[:400]


def _refused(problem: object) -> BadGrammar:
    return BadGrammar(f"{_in_one_line(problem)}; leave that out or say it in another way")


def _schema(json_schema: str) -> dict[str, Any]:
    try:
        schema = json_object("json_schema", json_schema)
    except InvalidInput as error:
        raise BadGrammar(error.detail) from error
    check_schema(schema)
    return schema


def _arguments(tool: Tool) -> dict[str, Any]:
    """A tool's parameters; what they name is all that there is, unless they say more than names: an argument of another
    name would reach nobody.
    """
    schema = tool.schema()
    return schema if _OPEN_WORDS & schema.keys() else {**schema, "additionalProperties": False}


def _style(separators: tuple[str, str]) -> Any:
    """Options of the grammar library, which names their type in its stubs alone."""
    item, key = separators
    return {"whitespace_flexible": False, "item_separator": item, "key_separator": key}


def _json_grammar(schema: dict[str, Any], separators: tuple[str, str]) -> str:
    try:
        return llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=_style(separators))
    except ValueError as error:
        raise _refused(error) from error


def _with_style(schema: dict[str, Any], separators: tuple[str, str]) -> str:
    return json.dumps({**schema, "x-guidance": _style(separators)})
