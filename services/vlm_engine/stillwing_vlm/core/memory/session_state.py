"""What a session is beside the numbers in its cache: all that another process needs to go on with it.

It is written as JSON and read back with every field checked, since a file may come from anywhere. It knows nothing of
files, tensors or devices.
"""

from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from stillwing_common.errors import ExportUnusable, InvalidInput
from stillwing_vlm.core.conversation import Tool
from stillwing_vlm.core.memory.gate import GatePast
from stillwing_vlm.core.requests import MAX_GATE_LEVELS, EvictionLevel, EvictionPositions, FrameLayout

VERSION: Final = 1

_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Positive = Annotated[int, Field(ge=1, lt=2**63)]
_Position = Annotated[int, Field(gt=-(2**63), lt=2**63)]
_ALONE = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, config=_ALONE)
class ChunkState:
    """A chunk of the trunk; `kept`: what it takes to write it anew is in the export too."""

    frame_ids: tuple[str, ...]
    tokens: _Positive
    span: _Positive
    ordinal: _Count
    position: _Position
    kept: bool


@dataclass(frozen=True, slots=True, config=_ALONE)
class TrunkState:
    """The trunk's book-keeping. Chunks stand in the order of the slab: sink, memory, window."""

    budget: _Positive
    level: EvictionLevel
    positions: EvictionPositions
    position_limit: _Positive | None
    first_position: _Position
    cursor: _Position
    appended_chunks: _Count
    evicted_frames: _Count
    sink: tuple[ChunkState, ...]
    memory: tuple[ChunkState, ...]
    window: tuple[ChunkState, ...]

    @property
    def chunks(self) -> tuple[ChunkState, ...]:
        """All of them in the order of the slab."""
        return (*self.sink, *self.memory, *self.window)

    @property
    def tokens(self) -> int:
        """Tokens of the whole trunk."""
        return sum(chunk.tokens for chunk in self.chunks)

    @property
    def kept_tokens(self) -> int:
        """Tokens of the chunks that can be written anew."""
        return sum(chunk.tokens for chunk in self.chunks if chunk.kept)


@dataclass(frozen=True, slots=True, config=_ALONE)
class PastState:
    """Sizes of what the gate compares with: rows and columns of the picture, and of the places of its tokens."""

    picture: tuple[_Positive, _Positive]
    places: tuple[_Positive, _Positive]


@dataclass(frozen=True, slots=True, config=_ALONE)
class SessionState:
    """One session. `fingerprint`, `engine` and `dtype` say which model alone can go on with it."""

    version: Literal[1]
    fingerprint: str
    engine: str
    model: str
    dtype: str
    system_prompt: str
    label: str
    origin_ns: _Count
    origin_clock_id: str
    appended_frames: _Count
    answered_asks: _Count
    dropped_tokens: _Count
    gate_levels: Annotated[float, Field(ge=0, le=MAX_GATE_LEVELS)]
    gate_past: PastState | None
    saved_wall_ns: _Count
    trunk: TrunkState
    layout: FrameLayout | None = None
    kv_cache_dtype: str = ""
    """How keys and values are kept; empty in exports of before there was a choice: as `dtype`."""
    tools: tuple[Tool, ...] = ()

    @property
    def last_frame_id(self) -> str:
        """Newest frame in the trunk, or ""."""
        trunk = self.trunk
        ids = [frame_id for chunk in (*trunk.sink, *trunk.window) for frame_id in chunk.frame_ids]
        return ids[-1] if ids else ""


@plain_dataclass(frozen=True, slots=True, eq=False)
class SavedSession:
    """A session outside its engine: its description, a copy of its cache in the backend's form, and its gate's past."""

    state: SessionState
    cache: Any
    gate_past: GatePast | None = None


_ADAPTER = TypeAdapter(SessionState)


def to_json(state: SessionState) -> str:
    """One line of JSON."""
    return _ADAPTER.dump_json(state).decode()


def from_json(text: str) -> SessionState:
    """Raises ExportUnusable where it is no session's state, of another version, or contradicts itself."""
    try:
        state = _ADAPTER.validate_json(text)
    except InvalidInput as error:
        raise ExportUnusable(f"its description is not valid: {error}") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ExportUnusable(f"its description is not valid at {where or 'its beginning'}: {problem['msg']}") from error
    trunk = state.trunk
    keeps_window = trunk.level is not EvictionLevel.OLDEST
    sink = [len(chunk.frame_ids) for chunk in trunk.sink]
    sink_frames = 1 if state.layout is None else state.layout.sink
    if (
        sink[:1] != [0]
        or not all(sink[1:])
        or (len(sink) > 1 and sum(sink[:-1]) >= sink_frames)
        or (trunk.window and sum(sink) < sink_frames)
        or not all(chunk.frame_ids for chunk in (*trunk.memory, *trunk.window))
        or not all(chunk.kept for chunk in (*trunk.sink, *trunk.memory))
        or not all(chunk.kept is keeps_window for chunk in trunk.window)
        or trunk.tokens > trunk.budget
        or (state.gate_past is not None and not state.gate_levels)
    ):
        raise ExportUnusable("its description contradicts itself")
    return state
