"""JSON Schemas as anybody may send them: any text, and schemas of nearly the right shape."""

import json
from contextlib import ExitStack
from typing import Any

from dice import Dice, Target

from stillwing_common.errors import StillwingError
from stillwing_common.shipped import shipped_model


def schemas(stack: ExitStack) -> Target:
    """JSON Schemas for answers: texts, and schemas of nearly the right shape, up to the first tokens of an answer."""
    from stillwing_vlm.core.inputs.grammar import GrammarCompiler
    from stillwing_vlm.core.inputs.text import ChatText

    pilot = shipped_model("pilot")
    assert pilot is not None
    words = ChatText.from_file(pilot / "tokenizer.json")
    grammars = GrammarCompiler(words, words.vocab_size)

    def target(data: bytes) -> bool:
        if data[:1] < b"\x20":
            text = data[1:].decode("utf-8", "surrogateescape")
        else:
            text = json.dumps(_schema(Dice(data[1:]), 0))
        try:
            matcher = grammars.json(text)
            for _ in range(3):
                matcher.forced()
                if matcher.finished:
                    break
                matcher.accept(int(matcher.allowed().argmax()))
        except StillwingError:
            return data[:1] >= b"\x20"
        return True

    return target


def _schema(dice: Dice, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(1 + dice.byte() % 4):
        key = dice.pick(_SCHEMA_WORDS if depth < 5 else _SCHEMA_WORDS[:-11])
        inner = [_schema(dice, depth + 1) for _ in range(dice.byte() % 3)] if key in _SCHEMA_WORDS[-11:] else []
        if key in ("allOf", "anyOf", "oneOf", "prefixItems"):
            found[key] = inner
        elif key in ("properties", "$defs", "patternProperties"):
            found[key] = dict(zip(("a", "b", "^x"), inner, strict=False))
        elif key in ("items", "additionalProperties", "not", "contains"):
            found[key] = inner[0] if inner else dice.byte() % 2 == 1
        else:
            found[key] = dice.pick(_SCHEMA_VALUES[key])
    return found


_NUMBERS = (0, 1, -1, 5, 1.5, -2.5, 1e-9, 2**53, -(2**53) + 1, 2**63, -(2**63) - 1, 10**30, 1e300, float("nan"), "1")
_SIZES = (0, 1, 2, 3, -1, 1.5, 2.0, 1000, 2**31, 2**64, None)
_SCHEMA_VALUES: dict[str, tuple[Any, ...]] = {
    "type": ("object", "array", "string", "integer", "number", "boolean", "null", ["string", "null"], [], "x", 5),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _NUMBERS),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _SIZES),
    "pattern": ("^a+$", "(a|b)*c", "(", "a{3,5}", "[^a]", "(a{1,50}){1,50}", "\\d", "\ud83d", "(?=a)"),
    "required": (["a"], ["a", "b"], [], "a", [5]),
    "enum": ([1, "a"], [], [None, {"a": [1]}], ["\ud83d"], [2**60], "x", [1.1, True]),
    "const": (1, "a", None, {"a": 1}, 2**53 + 1, "\udcff", float("inf")),
    "$ref": ("#", "#/$defs/a", "#/properties/a", "#/items", "#/$defs", "x", "http://h/", 5, "#/$defs/b"),
    "format": ("date", "uuid", "date-time", "x"),
}
_SCHEMA_WORDS = (
    *_SCHEMA_VALUES, "allOf", "anyOf", "oneOf", "prefixItems", "properties", "$defs", "patternProperties", "items",
    "additionalProperties", "not", "contains",
)  # fmt: skip
