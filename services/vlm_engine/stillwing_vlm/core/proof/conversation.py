"""A short conversation that an engine is held to: frames appended and evicted, questions asked one and two at a time,
one of them under a schema.

The plain path holds it first, and keeps how probable each token was at each choice. Another path is then held to its
tokens and to those figures. It knows nothing of processes, and of paths no more than what they give.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stillwing_vlm.core.backend import Backend, Outcome, Row
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.inputs.images import Pixels
from stillwing_vlm.core.inputs.positions import text_positions
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.memory.branch import AskBranch
from stillwing_vlm.core.requests import AskRequest

_SYSTEM_TEXT = "You watch a video that never ends."
_CHUNKS, _WINDOW_CHUNKS = 14, 5
_ASK_AFTER = (3, 8, 13)
"""Chunks after which is asked: before the first eviction, and behind several."""
_PICTURE_PX = (112, 112)
_ODD_PICTURE_PX, _ODD_CHUNK = (112, 140), 9
"""One chunk is of another size, so that what is laid out for one is left and come back to."""
_SCHEMA = '{"type":"object","properties":{"seen":{"enum":["red","green","blue"]}},"required":["seen"]}'
_ASKS = (
    AskRequest("What is to be seen, and what has changed?", max_tokens=10),
    AskRequest("What colour is it?", max_tokens=24, json_schema=_SCHEMA),
)

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One token that the plain path chose: `scores` float64[vocabulary], natural logarithms of all probabilities before
    any rule; `allowed` bool[vocabulary], None where everything was.
    """

    token: int
    scores: Scores
    allowed: npt.NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """The plain path's choices, answer by answer, and its cache's sizes: frames that were evicted."""

    answers: tuple[tuple[Choice, ...], ...]
    evicted_frames: int


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far a path is from the plain one. `worst_share`: root mean square of what its scores differ by, over the
    spread of the plain ones, at the worst choice; `other_token`: says where it chose otherwise for no reason of
    rounding, or is empty.
    """

    choices: int
    worst_share: float
    other_token: str


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A `Token` that is known."""

    token: int

    def read(self) -> int:
        """Its id."""
        return self.token


def record(loaded: LoadedEngine) -> Recording:
    """The conversation as an engine on the plain path holds it."""
    answers: list[tuple[Choice, ...]] = []
    session = _opened(loaded)
    for chunk in range(_CHUNKS):
        session.append(_picture(chunk))
        if chunk in _ASK_AFTER:
            answers += _recorded(loaded.backend, session)
    return Recording(tuple(answers), session.info().evicted_frames)


def deviation(loaded: LoadedEngine, plain: Recording, bound: float) -> Deviation:
    """The same conversation on another path. A token may differ where the plain path itself scores the two within what
    `bound`, a share of the scores' spread, lets each be off.
    """
    session, answers = _opened(loaded), iter(plain.answers)
    worst, choices, other = 0.0, 0, ""
    for chunk in range(_CHUNKS):
        session.append(_picture(chunk))
        if chunk not in _ASK_AFTER:
            continue
        wanted = [next(answers) for _ in _ASKS]
        for index, tokens in enumerate(_chosen(loaded.backend, session)):
            other = other or _other_token(wanted[index], tokens, bound, f"answer {index + 1} after {chunk + 1} chunks")
        for choice, scores in zip(wanted[0], _along(loaded.backend, session, wanted[0]), strict=True):
            share = _share(choice.scores, scores)
            # A share that is no number compares false with every bound.
            worst, choices = (share if not share <= worst else worst), choices + 1
    return Deviation(choices, worst, other)


def _opened(loaded: LoadedEngine) -> LocalSession:
    engine = LocalEngine(loaded)
    measured = engine.open(_SYSTEM_TEXT, 2048).append(_picture(0))
    return engine.open(_SYSTEM_TEXT, measured.context_tokens + _WINDOW_CHUNKS * measured.chunk_tokens)


def _picture(chunk: int) -> Pixels:
    """A square on a ground that gets lighter to the right; colour and place change from chunk to chunk."""
    rows, columns = _ODD_PICTURE_PX if chunk == _ODD_CHUNK else _PICTURE_PX
    pixels = np.zeros((rows, columns, 3), np.uint8)
    pixels[:] = np.linspace(40, 200, columns)[None, :, None]
    top, left = 8 * (chunk % 8), 60 - 6 * (chunk % 7)
    pixels[top : top + 40, left : left + 40] = np.eye(3, dtype=np.uint8)[chunk % 3] * 220
    return pixels


def _recorded(backend: Backend, session: LocalSession) -> list[tuple[Choice, ...]]:
    found: list[list[Choice]] = []

    def choose(rows: Sequence[Row]) -> list[Outcome]:
        return [
            logits if row.choosing is None else _best(backend.log_probabilities(logits), row.choosing.allowed)
            for row, logits in zip(rows, backend.step(rows), strict=True)
        ]

    def note(index: int, outcome: Outcome) -> None:
        found[index].append(outcome)

    branches = [session.fork(ask) for ask in _ASKS]
    found.extend([] for _ in branches)
    _decode(session, branches, choose, note)
    return [tuple(choices) for choices in found]


def _best(scores: Scores, allowed: npt.NDArray[np.bool_] | None) -> Choice:
    ruled = scores if allowed is None else np.where(allowed, scores, -np.inf)
    return Choice(int(ruled.argmax()), scores, allowed)


def _chosen(backend: Backend, session: LocalSession) -> list[list[int]]:
    """The tokens that the path chooses by itself."""
    found: list[list[int]] = [[] for _ in _ASKS]
    branches = [session.fork(ask) for ask in _ASKS]
    _decode(session, branches, backend.advance, lambda index, token: found[index].append(token.read()))
    return found


def _decode(
    session: LocalSession,
    branches: list[AskBranch],
    choose: Callable[[Sequence[Row]], list[Outcome]],
    note: Callable[[int, Outcome], None],
) -> None:
    """Decode several answers side by side; `note` gets each token that was chosen."""
    try:
        while live := [(index, branch) for index, branch in enumerate(branches) if not branch.finished]:
            fed = [branch.rows() for _, branch in live]
            outcomes = iter(choose([row for rows in fed for row in rows]))
            for (index, branch), rows in zip(live, fed, strict=True):
                mine = [next(outcomes) for _ in rows]
                for row, outcome in zip(rows, mine, strict=True):
                    if row.choosing is not None:
                        note(index, outcome)
                branch.accept([_Chosen(each.token) if isinstance(each, Choice) else each for each in mine])
    finally:
        for branch in branches:
            session.video.release(branch)


def _along(backend: Backend, session: LocalSession, answer: Sequence[Choice]) -> list[Scores]:
    """The path's scores at each of the plain path's choices, fed with the plain path's tokens."""
    branch = session.fork(_ASKS[0])
    try:
        rows = branch.rows()
        for row in rows:
            row.choosing = None
        found = [backend.log_probabilities(backend.advance(rows)[-1])]
        store, cursor = rows[-1].branch, branch.view.cursor
        for choice in answer[:-1]:
            positions, cursor = text_positions(cursor, 1)
            found.append(backend.log_probabilities(backend.advance([Row(store, [choice.token], positions)])[0]))
        return found
    finally:
        session.video.release(branch, answered=False)


def _share(plain: Scores, found: Scores) -> float:
    """Of scores up to a constant, which a softmax does not see."""
    off = found - plain
    return float((off - off.mean()).std() / plain.std())


def _other_token(wanted: Sequence[Choice], found: Sequence[int], bound: float, where: str) -> str:
    for place, (choice, token) in enumerate(zip(wanted, found, strict=False)):
        if token == choice.token:
            continue
        is_allowed = choice.allowed is None or bool(choice.allowed[token])
        gap = choice.scores[choice.token] - choice.scores[token]
        if is_allowed and gap <= 2 * bound * choice.scores.std():
            # A tie that rounding decides; what follows answers another text.
            return ""
        return f"token {place + 1} of {where} is {token}, not {choice.token}"
    # A path that feeds tokens before they are read goes one beyond the end.
    return "" if len(found) >= len(wanted) else f"{where} ends after {len(found)} tokens of {len(wanted)}"
