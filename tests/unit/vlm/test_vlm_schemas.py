"""python -m pytest tests/unit/vlm/test_vlm_schemas.py

Any schema at all is held, and then every answer is right, or refused with BAD_GRAMMAR and what to write instead.
"""

import json
import random
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

import jsonschema
import pytest
from conversations import TEXT
from hypothesis import given, settings
from hypothesis import strategies as st
from refused_schemas import REFUSED, nested
from run_profile import sized

from stillwing_common.errors import BadGrammar
from stillwing_vlm.core.inputs.grammar import GrammarCompiler
from stillwing_vlm.core.inputs.schemas import MAX_ANSWER_CHARS, MAX_EXACT_INTEGER

GRAMMARS = GrammarCompiler(TEXT, TEXT.vocab_size)
EXAMPLES = sized(ci=300, nightly=20_000)
MOST_TOKENS = 200


def answer_of(schema: str, seed: int) -> str | None:
    """What a model that chooses at random answers; None: it was cut. Raises BadGrammar."""
    matcher, chosen = GRAMMARS.json(schema), random.Random(seed)
    ids = matcher.forced()
    while not matcher.finished:
        options = matcher.allowed().nonzero()[0]
        assert options.size, "a place from which nothing leads on"
        token = int(chosen.choice(options))
        if TEXT.end_ids.intersection(options.tolist()) and (token in TEXT.end_ids or chosen.random() < 0.3):
            break
        matcher.accept(token)
        ids += [token, *matcher.forced()]
        if len(ids) > MOST_TOKENS:
            return None
    return TEXT.decode(ids)


def _is_integer(_: object, value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool) and value == int(value)


# In decimal numbers: whether -1 is a multiple of 1e-9 is beyond floats.
Exact = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


def is_right(schema: str, answer: str) -> bool | None:
    """None: it holds a number that takes too many digits to tell."""

    def exact(text: str) -> Any:
        return json.loads(text, parse_float=Decimal)

    with localcontext(prec=2000):
        try:
            return bool(Exact(exact(schema)).is_valid(exact(answer)))
        except (InvalidOperation, OverflowError):
            json.loads(answer)
            return None


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_answer_can_be_held_to_is_refused(what: str) -> None:
    with pytest.raises(BadGrammar) as caught:
        GRAMMARS.json(REFUSED[what])
    assert caught.value.detail
    assert len(caught.value.detail) < 1000


HELD = {
    "30 arrays deep": nested(30),
    "a whole surrogate pair": r'{"enum": ["\ud83d\ude00"]}',
    "NUL and control tokens": r'{"enum": ["\u0000<|im_end|>\u0001"]}',
    "an array that may hold itself": '{"type": "array", "items": {"$ref": "#"}, "maxItems": 2}',
    "an object that may hold itself": '{"type": "object", "properties": {"x": {"$ref": "#"}}, '
    '"additionalProperties": false}',
    "what holds itself or ends": '{"anyOf": [{"type": "object", "properties": {"x": {"$ref": "#"}}, '
    '"required": ["x"], "additionalProperties": false}, {"const": 1}]}',
    "a reference by escaped name": '{"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"const": 7}}}',
    "a name of the whole": '{"$id": "https://example.com/x", "$ref": "#/$defs/a", "$defs": {"a": {"const": 7}}}',
    "the largest exact integer": '{"const": 9007199254740991}',
    "a range at the end of exact integers": '{"type": "integer", "minimum": -9007199254740991, '
    '"maximum": -9007199254740990}',
    "a fine multiple": '{"type": "number", "multipleOf": 0.25, "minimum": 0, "maximum": 10}',
    "3000 values": json.dumps({"enum": list(range(3000))}),
    "a value of 19,000 characters": json.dumps({"enum": ["x" * 19_000, "y"]}),
    "a string that may be long": '{"type": "string", "maxLength": 2000000000}',
    "an array that may be long": '{"type": "array", "items": {"type": "integer"}, "maxItems": 2000000000}',
    "a pattern of many repeats": '{"type": "string", "pattern": "^(a{1,100}){1,100}$"}',
    "a pattern that doubles": '{"type": "string", "pattern": "^(a|b)*a(a|b){30}c$"}',
    "300 properties": json.dumps(
        {"type": "object", "properties": {f"p{at}": {"type": "integer"} for at in range(300)}, "required": ["p299"]}
    ),
    "a key written twice": '{"type": "integer", "type": "boolean"}',
    "a keyword that nobody knows": '{"type": "integer", "colour": "red"}',
    "any value": "{}",
    "true and false as schemas": '{"type": "object", "properties": {"a": true, "b": false}, "required": ["a"], '
    '"additionalProperties": false}',
}


@pytest.mark.parametrize("what", HELD)
def test_what_is_held_is_right(what: str) -> None:
    schema = HELD[what]
    answers = [answer_of(schema, seed) for seed in range(5)]
    assert all(answer is None or is_right(schema, answer) is not False for answer in answers)


def test_the_bound_of_an_answer_is_that_of_its_shortest() -> None:
    def of(length: int) -> str:
        return json.dumps({"anyOf": [{"type": "string", "minLength": length}, {"type": "string", "minLength": 10**9}]})

    GRAMMARS.json(of(MAX_ANSWER_CHARS - 2))
    with pytest.raises(BadGrammar, match=str(MAX_ANSWER_CHARS + 1)):
        GRAMMARS.json(of(MAX_ANSWER_CHARS - 1))


def test_a_chain_of_references_costs_no_more_than_its_text() -> None:
    links = {f"a{at}": {"$ref": f"#/$defs/a{at + 1}"} for at in range(800)}
    schema = json.dumps({"$defs": {**links, "a800": {"const": 1}}, "$ref": "#/$defs/a0"})
    assert answer_of(schema, 0) == "1"


numbers = st.one_of(
    st.integers(-9, 9),
    st.sampled_from([MAX_EXACT_INTEGER, -MAX_EXACT_INTEGER, 2**53, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.1, 0.5, 1e-9, 1e15, -1e15, 1e300, -0.0]),
)
sizes = st.one_of(st.integers(0, 4), st.sampled_from([-1, 1.5, 2.0, 1000, 2**31, 2**64, "1", None, True]))
texts = st.one_of(
    st.sampled_from(["", "a", "left", "\0", "\ud83d", "😀", '"', "\\", "<|im_end|>", "x" * 300]), st.text(max_size=4)
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
names = st.sampled_from(["a", "b", "left", "é"])
patterns = st.sampled_from(["^a+$", "b", "", "^(a|b)*c$", "(", "a{3,5}", "^[^a]$", r"\d", "^.{2}$", "(a{1,50}){1,50}"])
references = st.sampled_from(["#", "#/$defs/a", "#/$defs/b", "#/properties/a", "#/items", "x", "http://h/", "#/$defs"])


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keyed = st.dictionaries(names, inner, max_size=3)
    several = st.lists(inner, max_size=3)
    optional: dict[str, st.SearchStrategy[Any]] = {
        "type": st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null", "any"])
        | st.lists(st.sampled_from(["object", "array", "string", "integer", "null"]), max_size=2),
        "minimum": numbers, "maximum": numbers, "exclusiveMinimum": numbers, "exclusiveMaximum": numbers,
        "multipleOf": numbers, "minLength": sizes, "maxLength": sizes, "pattern": patterns, "minItems": sizes,
        "maxItems": sizes, "minProperties": sizes, "maxProperties": sizes, "items": inner, "prefixItems": several,
        "properties": keyed, "required": st.lists(names, max_size=2), "additionalProperties": inner,
        "patternProperties": st.dictionaries(patterns, inner, max_size=1), "enum": st.lists(values, max_size=3),
        "const": values, "anyOf": several, "allOf": several, "oneOf": several, "$ref": references, "not": inner,
        "format": st.sampled_from(["date", "uuid", "ipv4", "nope"]), "$defs": keyed, "description": texts,
    }  # fmt: skip
    keys = st.lists(st.sampled_from(sorted(optional)), max_size=4, unique=True)
    return keys.flatmap(lambda chosen: st.fixed_dictionaries({key: optional[key] for key in chosen}))


schemas = st.recursive(st.booleans() | st.sampled_from([{"type": "integer"}, {}, 5]), _schemas, max_leaves=6)


@settings(max_examples=EXAMPLES)
@given(schemas.filter(lambda schema: isinstance(schema, dict)), st.integers(0, 2**32))
def test_any_schema_is_refused_or_its_answers_are_right(schema: dict[str, Any], seed: int) -> None:
    text = json.dumps(schema)
    try:
        answer = answer_of(text, seed)
    except BadGrammar:
        return
    assert answer is None or is_right(text, answer) is not False, answer
