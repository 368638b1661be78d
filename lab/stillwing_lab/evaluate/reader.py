"""A reader in place of the model: whatever picture of the maze's sign is in its memory, it reads without fail.

Frames, budget, evictions, views and recalls are the engine's own; only the answer is made otherwise: from the pictures
that an answer can see, and the map. So it tells what a memory delivers apart from how well a model reads it. Where no
picture in sight shows the sign, it guesses. It knows nothing of banks, policies or how a flight is judged.
"""

import io
import random
from collections.abc import Awaitable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from stillwing_agent.core.prompting.prompts import WHERES, where_prompt
from stillwing_airfield.scenes.base import SceneSpec
from stillwing_airfield.scenes.maze import SIGN_SIDES
from stillwing_airfield.sim import Airfield
from stillwing_common.errors import InvalidInput
from stillwing_common.types import Frame
from stillwing_lab.evaluate.inline_engine import InlineEngine, InlineSession
from stillwing_lab.evaluate.policies import FollowsTheRoute
from stillwing_training.pilot.config import SIGN
from stillwing_vlm.core.requests import ChoiceRequest, SessionConfig
from stillwing_vlm.core.results import AppendResult, ChoiceResult, Provenance, RecallResult

_LEAST_PX = 60
"""Pixels of a 320x240 picture in a sign's colour from which it counts as shown."""
_PURE = 0.45
_BRIGHT = 60


class Reader:
    """Reads one maze's signs and flies by them. Raises InvalidInput for a scene that has none."""

    def __init__(self, airfield: Airfield) -> None:
        scene = airfield.scene
        if not scene.of_kind(SIGN):
            raise InvalidInput(f"{scene.name} has no sign to read; only a maze has", field="policy")
        self._route = FollowsTheRoute(airfield)
        self._beacons = _beacon_of_side(scene)
        self._guess = random.Random(scene.seed).choice(sorted(SIGN_SIDES))
        self.seen: dict[str, str | None] = {}

    def look_at(self, frame: Frame) -> None:
        """Read one picture; under the same id the newest counts."""
        self.seen[frame.frame_id] = read_sign(frame)

    def action(self, signs: Sequence[str], options: Sequence[str]) -> int:
        """Which option to take, given the signs in sight, the newest last."""
        beacon = self._beacons[SIGN_SIDES[signs[-1] if signs else self._guess]]
        wanted = self._route.action(beacon, refused="forward" not in options)
        others = sorted(options, key=lambda option: ({"left", "right"} != {option, wanted}, option == "stop"))
        return options.index(wanted if wanted in options else others[0])


def read_sign(frame: Frame) -> str | None:
    """The colour of the sign that a picture shows, if it shows one."""
    with Image.open(io.BytesIO(frame.image.data)) as opened:
        picture = np.asarray(opened.convert("RGB"), np.float32)
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    shown_px = {
        "red": int(((np.maximum(green, blue) < _PURE * red) & (red > _BRIGHT)).sum()),
        "blue": int(((np.maximum(red, green) < _PURE * blue) & (blue > _BRIGHT)).sum()),
    }
    colour = max(shown_px, key=lambda name: shown_px[name])
    least_px = _LEAST_PX * picture.shape[0] * picture.shape[1] / (320 * 240)
    return colour if shown_px[colour] >= least_px else None


def _beacon_of_side(scene: SceneSpec) -> dict[int, str]:
    """Colour of the beacon to the left (-1) and to the right (1) of the junction."""
    (sign,) = scene.of_kind(SIGN)
    goal_side = SIGN_SIDES[str(sign.colour)]
    (other,) = (str(one.colour) for one in scene.of_kind("beacon") if one.colour != scene.goal_colour)
    return {goal_side: scene.goal_colour, -goal_side: other}


class ReaderSession(InlineSession):
    """Answers choices by what can be read in the frames that they can see; `reader` is set before the first."""

    reader: Reader

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._order: list[str] = []

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        """See `Session`."""
        for frame in frames:
            self.reader.look_at(frame)
            self._order.append(frame.frame_id)
        return super().append(*frames)

    async def recall(self, frames: Sequence[Frame]) -> RecallResult:
        """See `Session`; what is recalled may look otherwise than it did."""
        recalled = self.redrawn(frames)
        for frame in recalled:
            self.reader.look_at(frame)
        return self._session.recall(*recalled)

    async def ask_choice(self, request: ChoiceRequest) -> ChoiceResult:
        """See `Session`."""
        result = await super().ask_choice(request)
        best = self._choose(request, result.provenance)
        sure = tuple(float(index == best) for index in range(len(request.options)))
        return ChoiceResult(sure, best, result.provenance, result.elapsed_s)

    def _choose(self, request: ChoiceRequest, provenance: Provenance) -> int:
        if request.options == WHERES:
            asked = request.prompt == where_prompt(f"the {SIGN}")
            shown = asked and self.reader.seen[provenance.last_frame_id] is not None
            return WHERES.index("ahead" if shown else "none")
        window = self._order[self._order.index(provenance.oldest_frame_id or self._order[0]) :]
        in_sight = [self._order[0], *provenance.recalled_frame_ids, *window]
        signs = [sign for frame_id in in_sight if (sign := self.reader.seen.get(frame_id)) is not None]
        return self.reader.action(signs, request.options)


class ReaderEngine(InlineEngine):
    """The engine with a reader for a model; `reader` is set before a session is opened."""

    session_type = ReaderSession
    reader: Reader

    async def open_session(self, config: SessionConfig) -> InlineSession:
        """See `Engine`."""
        session = await super().open_session(config)
        assert isinstance(session, ReaderSession)
        session.reader = self.reader
        return session
