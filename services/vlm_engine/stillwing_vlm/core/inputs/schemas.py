"""What a JSON Schema may hold before the grammar library sees it, and whether any answer at all satisfies it.

The library writes numbers of too many digits as their neighbours, breaks down on some ranges of them, and follows a
reference that leads back to itself until it gives up in the middle of an answer. Such schemas are refused here, in time
that grows with their text. It knows no tokens and no grammars.
"""

import heapq
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any
from urllib.parse import unquote

from stillwing_common.errors import BadGrammar

MAX_EXACT_INTEGER = 2**53 - 1
"""Numbers up to it are the same in every JSON library (RFC 8259, section 6)."""
MAX_DIGITS, MAX_PLACES = 15, 22
"""Of a number with a fraction that every way of reading decimal digits takes for the same float."""
MAX_ANSWER_CHARS = 20_000
"""Of the shortest answer that satisfies a schema: a longer one would be cut before it is whole."""
MAX_MULTIPLE = 1000
"""Largest `multipleOf`, and most of its digits as one number: a grammar counts remainders in as many states."""

_OUTSIDE = ("$dynamicRef", "$recursiveRef")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_SIZES = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_LISTS = ("prefixItems", "allOf", "anyOf", "oneOf")
_MAPS = ("properties", "patternProperties")
_SINGLES = ("items", "additionalItems", "additionalProperties")
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")

Schema = dict[str, Any] | bool


def check_schema(schema: dict[str, Any]) -> None:
    """Raises BadGrammar, which says where and what to write instead."""
    _Satisfiable(schema).check()


@dataclass(slots=True, eq=False)
class _Part:
    """A part of the question how long the shortest answer is: a length made of those of other parts.

    `combine` makes one of theirs: `min` once the first of them is known, `max` and `sum` once all are.
    """

    combine: Callable[..., int]
    place: str = ""
    own: int = 0
    needs: list[tuple[int, "_Part"]] = field(default_factory=list)
    wanted_by: list["_Part"] = field(default_factory=list)
    missing: int = 0
    chars: int | None = None
    must_hold: bool = False

    def add(self, part: "_Part", times: int = 1) -> None:
        """Make it depend on `part`, `times` times over."""
        self.needs.append((times, part))
        part.wanted_by.append(self)
        self.missing += 1

    def length(self) -> int | None:
        """Characters of its shortest answer; None: not known yet."""
        if self.combine is min:
            return min((part.chars for _, part in self.needs if part.chars is not None), default=None)
        if self.missing:
            return None
        lengths = [times * (part.chars or 0) for times, part in self.needs]
        return self.own + sum(lengths) if self.combine is sum else max([self.own, *lengths])


class _Satisfiable:
    """Walks a schema once, from its root along what the root refers to, and then finds its shortest answer.

    That is Knuth's generalisation of Dijkstra's algorithm (1977): a schema is an and/or graph, perhaps with circles.
    """

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._parts: list[_Part] = []
        self._known: dict[int, _Part] = {}
        self._open: list[tuple[dict[str, Any], _Part]] = []
        self._whole = self._schema(root, "the schema")

    def check(self) -> None:
        """Raises BadGrammar."""
        if "x-guidance" in self._root:
            raise BadGrammar("x-guidance is the engine's own; leave it out")
        while self._open:
            schema, part = self._open.pop()
            self._walk(schema, part)
        self._find_lengths()
        endless = next((part for part in self._parts if part.must_hold and part.chars is None), None)
        if endless is not None:
            raise BadGrammar(
                f"no answer satisfies {endless.place}: it contradicts itself, or refers to itself without an end; "
                "give it an answer that ends, or leave it out"
            )
        assert self._whole.chars is not None
        if self._whole.chars > MAX_ANSWER_CHARS:
            raise BadGrammar(
                f"its shortest answer has {self._whole.chars} characters, at most {MAX_ANSWER_CHARS} can be answered; "
                "ask for less (minLength, minItems, minProperties, required)"
            )

    def _part(self, combine: Callable[..., int], own: int = 0, place: str = "", *, must_hold: bool = False) -> _Part:
        part = _Part(combine, place, own, must_hold=must_hold)
        self._parts.append(part)
        return part

    def _schema(self, schema: Any, place: str) -> _Part:
        """The part of a schema, which is walked later."""
        if schema is True:
            return self._part(max, 1)
        if schema is False:
            return self._part(min)
        if not isinstance(schema, dict):
            raise BadGrammar(f"{place} is no schema: an object, true or false is expected there")
        part = self._known.get(id(schema))
        if part is None:
            part = self._known[id(schema)] = self._part(max, 1, place, must_hold=True)
            self._open.append((schema, part))
        return part

    def _walk(self, schema: dict[str, Any], part: _Part) -> None:
        place = part.place
        _check_numbers(schema, place)
        if schema is not self._root and isinstance(schema.get("$id"), str):
            raise BadGrammar(f"{place} has a $id of its own; refer to it by its place, as in #/$defs/name")
        inner = {key: self._named(schema, key, place) for key in _MAPS}
        listed = {key: self._listed(schema, key, place) for key in _LISTS}
        single = {
            key: self._schema(schema[key], f"{key} of {place}")
            for key in _SINGLES
            if key in schema and not isinstance(schema[key], list)
        }
        if "$ref" in schema:
            part.add(self._referred(schema["$ref"], place))
        for one in listed["allOf"] or ():
            part.add(one)
        for key in ("anyOf", "oneOf"):
            if listed[key] is not None:
                part.add(self._any(listed[key] or ()))
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if values is not None:
            if not isinstance(values, list):
                raise BadGrammar(f"enum of {place} is a list of values")
            part.add(self._any(self._part(max, len(json.dumps(value))) for value in values))
        kinds = schema.get("type", _TYPES)
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if values is None and isinstance(kinds, list | tuple):
            part.add(self._any(self._of_type(kind, schema, inner, listed, single) for kind in kinds))

    def _named(self, schema: dict[str, Any], key: str, place: str) -> dict[str, _Part]:
        found = schema.get(key, {})
        if not isinstance(found, dict):
            raise BadGrammar(f"{key} of {place} is an object of schemas by name")
        return {name: self._schema(one, f"{name[:40]!r} in {key} of {place}"[:200]) for name, one in found.items()}

    def _listed(self, schema: dict[str, Any], key: str, place: str) -> list[_Part] | None:
        # Before draft 2020-12 the places of an array stood in `items`.
        found = schema.get(key, schema["items"] if key == "prefixItems" and _is_list(schema.get("items")) else None)
        if found is None:
            return None
        if not isinstance(found, list):
            raise BadGrammar(f"{key} of {place} is a list of schemas")
        return [self._schema(one, f"{at} in {key} of {place}"[:200]) for at, one in enumerate(found)]

    def _any(self, parts: Iterable[_Part]) -> _Part:
        choice = self._part(min)
        for one in parts:
            choice.add(one)
        return choice

    def _of_type(
        self,
        kind: Any,
        schema: dict[str, Any],
        inner: dict[str, dict[str, _Part]],
        listed: dict[str, list[_Part] | None],
        single: dict[str, _Part],
    ) -> _Part:
        if kind == "string":
            return self._part(max, 2 + _size(schema, "minLength"))
        if kind == "array":
            return self._array(_size(schema, "minItems"), listed["prefixItems"] or [], single.get("items"))
        if kind == "object":
            return self._object(schema, inner, single.get("additionalProperties"))
        return self._part(max, 1)

    def _array(self, least: int, first: list[_Part], rest: _Part | None) -> _Part:
        whole = self._part(sum, 2 + max(0, least - 1))
        for one in first[:least]:
            whole.add(one)
        if least > len(first):
            whole.add(self._part(max, 1) if rest is None else rest, least - len(first))
        return whole

    def _object(self, schema: dict[str, Any], inner: dict[str, dict[str, _Part]], rest: _Part | None) -> _Part:
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise BadGrammar("required is a list of names")
        names = list(dict.fromkeys(required))
        least = max(0, _size(schema, "minProperties") - len(names))
        # A further property has a name of one letter at least, in quotation marks, and a colon.
        whole = self._part(sum, 2 + sum(len(json.dumps(name)) + 1 for name in names) + 4 * least)
        for name in names:
            one = inner["properties"].get(name)
            if one is None and not inner["patternProperties"]:
                one = rest
            whole.add(self._part(max, 1) if one is None else one)
        return whole

    def _referred(self, reference: Any, place: str) -> _Part:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise BadGrammar(
                f'$ref of {place} leads out of the schema: {str(reference)[:80]!r}; put what it names into "$defs" and '
                'write "#/$defs/name"'
            )
        value: Any = self._root
        for step in reference.split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and name in value:
                value = value[name]
            elif isinstance(value, list) and name.isdecimal() and len(name) < 6 and int(name) < len(value):
                value = value[int(name)]
            else:
                raise BadGrammar(
                    f"$ref of {place} leads to nothing: {reference[:80]!r}; define it, or correct the name"
                )
        return self._schema(value, reference[:80])

    def _find_lengths(self) -> None:
        order = count()
        ready = [(part.length(), next(order), part) for part in self._parts]
        heap = [(length, at, part) for length, at, part in ready if length is not None]
        heapq.heapify(heap)
        while heap:
            length, _, part = heapq.heappop(heap)
            if part.chars is not None:
                continue
            part.chars = length
            for whole in part.wanted_by:
                whole.missing -= 1
                if whole.chars is None and (whole.combine is min or not whole.missing):
                    longer = length if whole.combine is min else whole.length()
                    assert longer is not None
                    heapq.heappush(heap, (longer, next(order), whole))


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _size(schema: dict[str, Any], key: str) -> int:
    return int(schema.get(key, 0))


def _check_numbers(schema: dict[str, Any], place: str) -> None:
    outside = next((key for key in _OUTSIDE if key in schema), None)
    if outside is not None:
        raise BadGrammar(f'{outside} of {place} is not known here; write "$ref" with a place in the schema')
    for key in _NUMBERS:
        if key in schema and not _is_number(schema[key]):
            raise BadGrammar(f"{key} of {place} is a number")
    for key in _SIZES:
        size = schema.get(key, 0)
        if not _is_number(size) or size < 0 or size != int(size) or size > MAX_EXACT_INTEGER:
            raise BadGrammar(f"{key} of {place} is a whole number from 0 to 2^53 - 1")
    for key in (*_NUMBERS, "const", "enum"):
        for number in _numbers(schema.get(key)):
            if abs(number) > MAX_EXACT_INTEGER or not _is_exact(number):
                raise BadGrammar(
                    f"{key} of {place} holds {str(number)[:40]}; numbers are exact between -(2^53 - 1) and 2^53 - 1, "
                    f"with a fraction up to {MAX_DIGITS} digits and {MAX_PLACES} places: round it, or write it as a "
                    "string"
                )
    multiple = schema.get("multipleOf")
    if multiple is not None and not _is_countable(multiple):
        raise BadGrammar(
            f"multipleOf of {place} is {str(multiple)[:40]}; above 0 and at most {MAX_MULTIPLE} can be held, with "
            f"digits that are at most {MAX_MULTIPLE} as one number"
        )


def _is_exact(number: float) -> bool:
    if isinstance(number, int):
        return True
    parts = Decimal(str(number)).normalize().as_tuple()
    return len(parts.digits) <= MAX_DIGITS and int(parts.exponent) >= -MAX_PLACES


def _is_countable(multiple: float) -> bool:
    if not 0 < multiple <= MAX_MULTIPLE:
        return False
    digits = Decimal(str(multiple)).normalize().as_tuple().digits
    return int("".join(map(str, digits))) <= MAX_MULTIPLE


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(value: Any) -> Iterator[int | float]:
    """All numbers in a value, however deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif _is_number(one):
            yield one
