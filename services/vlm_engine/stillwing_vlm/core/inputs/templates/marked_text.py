"""Callers' texts between marks, so that what a template makes of them can be told from what it writes itself.

A mark is a number that nobody can know beforehand: no text holds one by chance or on purpose, and JSON, case and
escapes leave it as it is. A conversation is rendered twice, with marks and without: where the two differ by the marks
alone, each character has one known origin; where they do not, the template has looked at a text or changed it, and
that is an error. It knows nothing of templates or tokens.
"""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from stillwing_vlm.core.inputs.templates.sandbox import TemplateFault
from stillwing_vlm.core.inputs.text import Piece

_SCHEMA_WORDS = frozenset(
    word
    for words in (
        "$defs $ref additionalProperties allOf anyOf const default description enum exclusiveMaximum exclusiveMinimum",
        "format items maxItems maxLength maximum minItems minLength minimum multipleOf oneOf pattern prefixItems",
        "properties required title type uniqueItems array boolean integer null number object string",
    )
    for word in words.split(" ")
)
"""What a template may look for in a tool's parameters. These words are ours, whoever writes them."""


class Writer(Protocol):
    """Puts callers' texts into what a template is given."""

    @property
    def frames(self) -> str:
        """Stands where the frames go."""

    def opening(self, label: str, text: str) -> str:
        """A text that must be written before the frames."""

    def turn(self, label: str, text: str) -> str:
        """A text that must be written once, after the frames, in the order of the calls of this method."""

    def value(self, value: Any) -> Any:
        """A JSON value of a caller's, of which a template may leave parts out."""


@dataclass(frozen=True, slots=True)
class PlainWriter:
    """Texts as they are."""

    frames: str

    def opening(self, label: str, text: str) -> str:
        """See `Writer`."""
        return text

    def turn(self, label: str, text: str) -> str:
        """See `Writer`."""
        return text

    def value(self, value: Any) -> Any:
        """See `Writer`."""
        return value


@dataclass(slots=True, eq=False)
class MarkingWriter:
    """Each text between a mark of its own and that mark's end; in JSON values equal strings have equal marks."""

    secret: str = field(default_factory=lambda: f"{secrets.randbelow(10**20):020d}")
    texts: list[tuple[str, str]] = field(default_factory=list)
    """Labels and texts by number."""
    before: list[int] = field(default_factory=list)
    """Numbers of texts that must stand before the frames."""
    after: list[int] = field(default_factory=list)
    """Numbers of those that follow them, in order."""
    _inner: dict[str, str] = field(default_factory=dict)

    @property
    def frames(self) -> str:
        """See `Writer`."""
        return f"{self.secret}0"

    def opening(self, label: str, text: str) -> str:
        """See `Writer`."""
        return self._required(self.before, label, text)

    def turn(self, label: str, text: str) -> str:
        """See `Writer`."""
        return self._required(self.after, label, text)

    def value(self, value: Any) -> Any:
        """See `Writer`."""
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, str) or not value or value in _SCHEMA_WORDS:
            return value
        if value not in self._inner:
            self._inner[value] = self._marked("a value", value)
        return self._inner[value]

    def _required(self, group: list[int], label: str, text: str) -> str:
        if not text:
            return ""
        group.append(len(self.texts))
        return self._marked(label, text)

    def _marked(self, label: str, text: str) -> str:
        number = f"{len(self.texts):06d}"
        self.texts.append((label, text))
        return f"{self.secret}1{number}{text}{self.secret}2{number}"


@dataclass(frozen=True, slots=True)
class CutText:
    """What a template writes before and after the place of the frames."""

    before: tuple[Piece, ...]
    after: tuple[Piece, ...]


def cut(marked: str, plain: str, writer: MarkingWriter) -> CutText:
    """The pieces of a rendering. `marked`: with the marks of `writer`; `plain`: without, but for that of the frames.

    Raises TemplateFault where the template does not write every text as it is, each in its place.
    """
    pieces = [piece for piece in _pieces(marked, writer) if piece.text]
    if "".join(piece.text for piece in pieces) != plain:
        raise TemplateFault(f"does not write {_first_changed(pieces, plain, writer)} as it is: it trims or reads it")
    frames = [at for at, piece in enumerate(pieces) if piece.number == _FRAMES]
    if len(frames) != 1:
        raise TemplateFault(f"writes the text where the frames go {len(frames)} times, not once")
    before, after = pieces[: frames[0]], pieces[frames[0] + 1 :]
    _check_order(before, after, writer)
    return CutText(tuple(map(_as_piece, before)), tuple(map(_as_piece, after)))


_TEMPLATE, _FRAMES = -1, -2


@dataclass(frozen=True, slots=True)
class _Numbered:
    """`number`: of the caller's text, or one of the two above."""

    text: str
    number: int


def _as_piece(piece: _Numbered) -> Piece:
    return Piece(piece.text, piece.number >= 0)


def _pieces(marked: str, writer: MarkingWriter) -> list[_Numbered]:
    pattern = re.compile(f"{writer.secret}(?:0|([12])([0-9]{{6}}))")
    pieces: list[_Numbered] = []
    inside, end = _TEMPLATE, 0
    for match in pattern.finditer(marked):
        text, end = marked[end : match.start()], match.end()
        kind, number = match[1], int(match[2] or _FRAMES)
        opens, closes = kind == "1" and inside == _TEMPLATE, kind == "2" and inside == number
        if not (opens or closes or (kind is None and inside == _TEMPLATE)):
            raise TemplateFault(f"cuts {writer.texts[max(inside, number)][0]} apart")
        pieces.append(_Numbered(text, inside))
        if kind is None:
            pieces.append(_Numbered(writer.frames, _FRAMES))
        inside = number if opens else _TEMPLATE
    if inside != _TEMPLATE:
        raise TemplateFault(f"cuts {writer.texts[inside][0]} apart")
    return [*pieces, _Numbered(marked[end:], _TEMPLATE)]


def _first_changed(pieces: Sequence[_Numbered], plain: str, writer: MarkingWriter) -> str:
    """The label of the text at or before the first difference."""
    at, label = 0, "a text"
    for piece in pieces:
        if piece.number >= 0:
            label = writer.texts[piece.number][0]
        if not plain.startswith(piece.text, at):
            break
        at += len(piece.text)
    return label


def _check_order(before: Sequence[_Numbered], after: Sequence[_Numbered], writer: MarkingWriter) -> None:
    for piece in (*before, *after):
        if piece.number >= 0 and not _is_written(writer.texts[piece.number][1], piece.text):
            raise TemplateFault(f"changes {writer.texts[piece.number][0]}")
    opening, following = ({piece.number for piece in pieces} for pieces in (before, after))
    for number in (*writer.before, *writer.after):
        label, here, there = writer.texts[number][0], opening, following
        if number in writer.after:
            here, there = there, here
        if number in there:
            raise TemplateFault(f"puts {label} on the other side of the frames")
        if number not in here:
            raise TemplateFault(f"leaves out {label}")
    wanted = frozenset(writer.after)
    turns = [piece.number for piece in after if piece.number in wanted]
    if turns != writer.after:
        later = next((right for left, right in pairwise(turns) if right <= left), turns[-1])
        raise TemplateFault(f"writes {writer.texts[later][0]} out of its order, or more than once")


def _is_written(text: str, written: str) -> bool:
    """Whether a text stands there as it is, or as in JSON of either kind."""
    return written == text or written in (json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1])
