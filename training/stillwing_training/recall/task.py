"""The recall task played through the engine: signs are streamed, evicted and asked for, and each answer is scored.

It knows nothing of training, plots or tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_training.recall.sample import SIGN_S, Layout
from stillwing_training.recall.signs import (
    COLOUR_NAMES,
    FIRST_QUESTION,
    KEYS,
    NOT_SEEN,
    SIDE_PX,
    SYSTEM_TEXT,
    Signs,
    draw_signs,
    question,
    render,
)
from stillwing_vlm.core.inputs.images import Pixels
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.requests import Eviction

AGES = (0, 1, 2, 4, 6, 8, 12, 16, 20, 24, 28, 32)
"""Signs ago; every key comes back after 36 signs, so that nothing older is the newest of its key."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One scored answer.

    `age`: how many signs ago it was shown, -1 for the very first; `visible`: a frame of it is still in the trunk.
    """

    age: int
    visible: bool
    right: bool
    said_none: bool


class SignStream:
    """An endless stream of signs in chunks of frames, every frame drawn anew."""

    def __init__(self, layout: Layout, seed: int) -> None:
        self.layout = layout
        self._rng = np.random.default_rng(seed)
        self.signs = draw_signs(20_000, self._rng)
        self.frames = 0

    def next_chunk(self) -> list[Frame]:
        """The next frames, stamped `layout.frame_s` apart; a frame's id is the place of its sign."""
        found = []
        for _ in range(self.layout.chunk_frames):
            place = self.frames // self.layout.frames_per_sign
            shown = Signs(self.signs.keys[place : place + 1], self.signs.colours[place : place + 1])
            stamp = Stamp(round(self.frames * self.layout.frame_s * 1e9), "signs")
            found.append(_frame(f"{place}/{self.frames}", stamp, render(shown, self._rng)[0]))
            self.frames += 1
        return found

    @property
    def newest(self) -> int:
        """Place of the sign shown last."""
        return (self.frames - 1) // self.layout.frames_per_sign


def _frame(frame_id: str, stamp: Stamp, pixels: Pixels) -> Frame:
    return Frame(frame_id, "signs", stamp, None, Image(ImageEncoding.RGB8, SIDE_PX, SIDE_PX, pixels.tobytes()))


def play(
    engine: LocalEngine,
    layout: Layout,
    budget: int,
    eviction: Eviction,
    *,
    seed: int,
    chunks: int,
    ask_every: int,
    ages: Sequence[int] = AGES,
    skip_chunks: int = 0,
) -> list[Asked]:
    """Stream `chunks` chunks and ask for signs of all ages after every `ask_every`-th, from `skip_chunks` on."""
    stream = SignStream(layout, seed)
    session = engine.open(SYSTEM_TEXT, budget, eviction=eviction)
    in_trunk: dict[str, int] = {}
    scores: list[Asked] = []
    for index in range(chunks):
        chunk = stream.next_chunk()
        session.append(*chunk)
        in_trunk.update({frame.frame_id: int(frame.frame_id.split("/")[0]) for frame in chunk})
        for evicted in session.evicted:
            for frame_id in evicted.frame_ids:
                in_trunk.pop(frame_id)
        session.evicted.clear()
        if index >= skip_chunks and index % ask_every == ask_every - 1:
            visible = set(in_trunk.values())
            scores += [_ask(session, stream, age, visible) for age in ages if age <= stream.newest]
            scores.append(_ask_first(session, stream))
    return scores


def _ask(session: LocalSession, stream: SignStream, age: int, visible: set[int]) -> Asked:
    place = stream.newest - age
    said = session.ask(question(int(stream.signs.keys[place])), max_tokens=1).text.strip()
    right = said == COLOUR_NAMES[stream.signs.colours[place]]
    return Asked(age, place in visible, right, said == NOT_SEEN)


def _ask_first(session: LocalSession, stream: SignStream) -> Asked:
    said = session.ask(FIRST_QUESTION, max_tokens=1).text.strip()
    return Asked(-1, True, said == COLOUR_NAMES[stream.signs.colours[0]], said == NOT_SEEN)


CHANCE = 1 / len(COLOUR_NAMES)
"""Share of right answers of one who guesses colours."""

assert max(AGES) < len(KEYS)
__all__ = ["AGES", "CHANCE", "SIGN_S", "Asked", "SignStream", "play"]
