"""A model's decisions over a recording: its frames go through the engine in order, and every n-th is asked about.

It knows nothing of files it writes, tables or pages.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stillwing_common.errors import ImageEmpty, ImageTooLarge, ImageUndecodable
from stillwing_common.types import Frame
from stillwing_lab.frame_rate import FrameRate
from stillwing_lab.offline.asking import Asker
from stillwing_lab.offline.flown import Flown
from stillwing_recording.base import Recording
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.results import Provenance


@dataclass(frozen=True, slots=True)
class Pace:
    """Which frames the engine sees, at most `fps` a second (None: every one), and which it is asked about.

    These are every `every`-th. Frames that a flown decision was based on are always seen and always asked about.
    """

    every: int = 4
    fps: float | None = 2.0


@dataclass(frozen=True, slots=True)
class Decision:
    """One question and its answer.

    `time_s` since the recording's first frame; `manoeuvre` "" where the answer names none; `agrees` None where nothing
    was flown from this frame, or the answer cannot be compared.
    """

    number: int
    time_s: float
    frame: Frame
    prompt: str
    answer: str
    manoeuvre: str
    probabilities: Mapping[str, float]
    time_to_first_token_ms: float
    elapsed_ms: float
    seen: Provenance
    flown: Flown | None
    agrees: bool | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, without pixels."""
        return {
            "number": self.number,
            "time_s": round(self.time_s, 4),
            "frame_id": self.frame.frame_id,
            "prompt": self.prompt,
            "answer": self.answer,
            "manoeuvre": self.manoeuvre,
            "probabilities": dict(self.probabilities),
            "time_to_first_token_ms": round(self.time_to_first_token_ms, 3),
            "elapsed_ms": round(self.elapsed_ms, 3),
            "context_tokens": self.seen.context_tokens,
            "evicted_frames": self.seen.evicted_frames,
            "oldest_frame_id": self.seen.oldest_frame_id,
            "flown": None if self.flown is None else asdict(self.flown),
            "agrees": self.agrees,
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One frame of the recording was passed.

    `appended` to the engine or left out; `decision` where it was asked; `bad` why its picture could not be taken in.
    """

    appended: bool
    decision: Decision | None
    bad: str = ""


def decide(
    engine: LocalEngine,
    recording: Recording,
    asker: Asker,
    flown: Mapping[str, Flown],
    pace: Pace,
    *,
    camera_id: str = "",
    max_context_tokens: int = 0,
    first_frame_id: str = "",
) -> Iterator[Step]:
    """Stream the recording, frame by frame, from `first_frame_id` on where it is given.

    Raises what `Recording.frames` raises, BudgetTooSmall.
    """
    session = engine.open(asker.system_text, max_context_tokens)
    rate = FrameRate(pace.fps)
    first_ns: int | None = None
    appended = decisions = 0
    for entry in recording.frames(camera_id):
        frame = entry.value.frame
        first_ns = entry.time_ns if first_ns is None else first_ns
        if first_frame_id not in ("", frame.frame_id):
            yield Step(False, None)
            continue
        first_frame_id = ""
        known = flown.get(frame.frame_id) if asker.decides else None
        if not rate.lets_through(frame.capture) and known is None:
            yield Step(False, None)
            continue
        try:
            session.append(frame)
        except (ImageEmpty, ImageUndecodable, ImageTooLarge) as error:
            # As in flight: a bad picture alone is passed over.
            yield Step(False, None, f"{frame.frame_id}: {error}")
            continue
        appended += 1
        if known is None and (appended - 1) % pace.every:
            yield Step(True, None)
            continue
        decisions += 1
        prompt = asker.prompt_after(known.prompt) if known is not None else asker.prompt
        found = asker.ask(session, prompt)
        yield Step(
            True,
            Decision(
                decisions,
                (entry.time_ns - first_ns) / 1e9,
                frame,
                prompt,
                found.text,
                found.manoeuvre,
                found.probabilities,
                found.time_to_first_token_s * 1000,
                found.elapsed_s * 1000,
                found.provenance,
                known,
                None if known is None or not found.manoeuvre else found.manoeuvre == known.manoeuvre,
            ),
        )
