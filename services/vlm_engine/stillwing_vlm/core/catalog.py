"""Which model is meant, and the objects that a loaded one brings: backend, text layout, grammars, preparer, budget
plan.

It imports no tensor library itself: engines are loaded by name.
"""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

from stillwing_common.clock import Clock, WallClock
from stillwing_common.errors import Exhausted, ModelNotUsable
from stillwing_common.registry import Registry
from stillwing_common.shipped import shipped_model
from stillwing_vlm.core.backend import Backend
from stillwing_vlm.core.chat_format import ChatFormat
from stillwing_vlm.core.inputs.chat import ModelChat
from stillwing_vlm.core.inputs.chunk_tokens import label_tokens
from stillwing_vlm.core.inputs.images import Preprocessing, smart_resize
from stillwing_vlm.core.inputs.positions import Grid, vision_positions
from stillwing_vlm.core.inputs.prepare import Preparer
from stillwing_vlm.core.inputs.text import ChatText
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.memory.ablation import trunk_for
from stillwing_vlm.core.memory.session_state import SavedSession
from stillwing_vlm.core.memory.trunk import Trunk
from stillwing_vlm.core.memory.video_session import VideoSession
from stillwing_vlm.core.planner import (
    SLAB_SLACK,
    STREAM_POSITIONS,
    BudgetPlan,
    BudgetPolicy,
    PlannedUse,
    plan_budget,
    set_by_operator,
)
from stillwing_vlm.core.requests import DEFAULT_EVICTION, Eviction, EvictionLevel, FrameLayout, SessionConfig
from stillwing_vlm.core.results import ModelInfo, PathProof

PILOT = "pilot"
PILOT_WINDOW_FRAMES = 23
"""Frames the pilot was trained to look back on, beside the first one, which stays in the sink."""

_PLANNED_FRAME_PX = (240, 320)
"""Rows and columns of the frame that a budget is reckoned with: the flight camera's."""

_USABLE_SHARE = {"cpu": 0.5}
"""Of free memory: a host has other work than this, a GPU of our own loses a little to fragments."""
_USABLE_GPU_SHARE = 0.95

_PLANNED_QUESTION_TOKENS = 512

_QWEN_VL = "stillwing_vlm.core.engines.loading:load_model"

ENGINES = Registry(
    "engine",
    {"qwen2_vl": _QWEN_VL, "qwen2_5_vl": _QWEN_VL, "qwen3_vl": _QWEN_VL},
    extra="engine",
    group="stillwing.engines",
)
"""What loads a model, by the `model_type` in its config.json; other packages add theirs by entry point."""


class Dtype(Enum):
    """Type of weights, and of the cache unless `KvCacheDtype` says otherwise."""

    AUTO = "auto"
    """float32 on the CPU, bfloat16 on CUDA."""
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class AttentionKind(Enum):
    """Who carries out attention."""

    AUTO = "auto"
    """On CUDA torch's own, or flash-attn where it proved itself; on the CPU kernels of our own where there is AVX2."""
    SDPA = "sdpa"
    """Torch's own."""
    TRITON = "triton"
    """Kernels of our own for CUDA."""
    LLVM = "llvm"
    """Kernels of our own for the CPU."""
    FLASH = "flash"
    """The flash-attn package."""


class KvCacheDtype(Enum):
    """How keys and values are kept."""

    AUTO = "auto"
    """In the type of the weights."""
    FP8 = "fp8"
    """As 8-bit floats (e4m3) with a scale for each vector: half of bfloat16, and less exact."""


class WeightDtype(Enum):
    """How the weights of the language model's linear layers are kept."""

    AUTO = "auto"
    """As all others."""
    INT8 = "int8"
    """As whole numbers of 8 bits with a scale for each output: half of bfloat16, and less exact."""


class Decoding(Enum):
    """How decoding steps are carried out."""

    AUTO = "auto"
    """Eager."""
    EAGER = "eager"
    """Each step as it comes."""
    STATIC = "static"
    """Through static buffers, tokens fed before they are read."""
    GRAPHS = "graphs"
    """The same captured once and replayed; CUDA."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What to load.

    "pilot", or a Hugging Face directory; with `random_weights` its configuration and tokenizer alone.
    """

    model: str = PILOT
    random_weights: bool = False
    device: str = "auto"
    dtype: Dtype = Dtype.AUTO
    attention: AttentionKind = AttentionKind.AUTO
    decoding: Decoding = Decoding.AUTO
    kv_cache_dtype: KvCacheDtype = KvCacheDtype.AUTO
    weight_dtype: WeightDtype = WeightDtype.AUTO
    threads: int | None = None
    seed: int = 0
    window_frames: int | None = None
    """Frames a session looks back on by default; None: as the model says, or as many as memory holds."""
    budget_policy: BudgetPolicy = BudgetPolicy.SAFE

    def directory(self) -> Path:
        """Where the files lie.

        Raises ModelNotUsable where the pilot is neither in the repository nor in the package.
        """
        return pilot_directory() if self.model == PILOT else Path(self.model).expanduser()


def pilot_directory() -> Path:
    """The pilot's files. Raises ModelNotUsable where they did not come along."""
    directory = shipped_model(PILOT)
    if directory is None:
        raise ModelNotUsable("the pilot's files are not installed; train it with `stillwing train-pilot`", model=PILOT)
    return directory


@dataclass(frozen=True, slots=True)
class LoadedEngine:
    """One model ready to open sessions; `open_session` belongs to the device's owner thread, the rest to any."""

    backend: Backend
    text: ChatText
    preparer: Preparer
    plan: BudgetPlan
    limits: Limits
    clock: Clock
    eviction: Eviction = DEFAULT_EVICTION
    """How sessions let old chunks go that do not say it themselves."""
    gate_levels: float = 0.0
    """Threshold of the token-saving gate where a session does not say; 0: off."""
    layout: FrameLayout | None = None
    """Sink, memory and window in frames where a session does not say."""
    chat_format: ChatFormat = field(default_factory=ChatFormat)
    path_proofs: tuple[PathProof, ...] = ()

    def info(self) -> ModelInfo:
        """What is loaded."""
        backend = self.backend
        return ModelInfo(
            engine=backend.name,
            model=backend.model,
            device=backend.device,
            dtype=backend.dtype,
            kv_cache_dtype=backend.kv_cache_dtype,
            weight_dtype=backend.weight_dtype,
            attention=backend.attention,
            attention_reason=backend.attention_reason,
            decoding=backend.decoding,
            parameters=backend.parameters,
            cache_bytes_per_token=backend.figures.cache_bytes,
            default_max_context_tokens=self.plan.budget(0),
            budget_reason=self.plan.reason,
            default_eviction=self.eviction,
            default_gate_levels=self.gate_levels,
            can_recall_kept=self.limits.kept_kv_bytes > 0,
            budget_plan=self.plan,
            limits=self.limits,
            layers=backend.figures.layers,
            default_layout=self.layout,
            chat=self.chat_format,
            path_proofs=self.path_proofs,
        )

    def budget(self, config: SessionConfig, opening_ids: list[int]) -> int:
        """The budget a session gets: its own wish, or the plan's."""
        return config.max_context_tokens or self.plan.budget(len(opening_ids))

    def open_session(
        self, config: SessionConfig, opening_ids: list[int], *, first_position: int = 0, rebases: bool = True
    ) -> VideoSession:
        """A new session. Raises BudgetTooSmall, Exhausted.

        `first_position` moves every position by a constant, which changes no answer; without `rebases` positions grow
        beyond the model's range.
        """
        gate_levels = self.gate_levels if config.gate_levels is None else config.gate_levels
        config = replace(
            config,
            eviction=config.eviction or self.eviction,
            gate_levels=gate_levels,
            layout=config.layout or self.layout,
        )
        trunk = self._trunk(config, self.budget(config, opening_ids), first_position=first_position, rebases=rebases)
        return VideoSession(self.backend, self.text, self.clock, self.limits, config, trunk, opening_ids)

    def _trunk(self, config: SessionConfig, budget: int, *, first_position: int = 0, rebases: bool = True) -> Trunk:
        limit = int(self.backend.figures.max_positions * STREAM_POSITIONS) if rebases else None
        return trunk_for(config.eviction or self.eviction, budget, SLAB_SLACK, first_position, limit, config.layout)

    def restore_session(self, saved: SavedSession, config: SessionConfig) -> VideoSession:
        """The session of an export, to go on with: prompt, budget and way to let chunks go are the export's.

        Raises Exhausted.
        """
        state, trunk = saved.state, saved.state.trunk
        needed = trunk.budget * self.backend.figures.cache_bytes
        if needed > self.backend.free_bytes():
            raise Exhausted(f"no memory for a cache of {trunk.budget} tokens", tokens=trunk.budget)
        config = replace(
            config,
            system_prompt=state.system_prompt,
            tools=state.tools,
            max_context_tokens=trunk.budget,
            eviction=Eviction(trunk.level, trunk.positions),
            gate_levels=state.gate_levels,
            layout=state.layout,
            label=config.label or state.label,
            from_export="",
        )
        made = self._trunk(config, trunk.budget)
        return VideoSession(self.backend, self.text, self.clock, self.limits, config, made, [], saved)


def model_type(directory: Path) -> str:
    """The engine that a directory asks for.

    Raises ModelNotUsable where it does not say, or names none that is known.
    """
    path = directory / "config.json"
    if not directory.is_dir():
        raise ModelNotUsable(f"{directory} is no directory", path=directory)
    if not path.is_file():
        raise ModelNotUsable(f"{directory} lacks config.json", missing="config.json")
    try:
        found = json.loads(path.read_text())["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelNotUsable(f"{path} cannot be read or has no model_type: {error!r}") from error
    if found not in ENGINES.names():
        raise ModelNotUsable(f"its model_type is {found!r}; supported are {', '.join(ENGINES.names())}")
    return str(found)


def planned_use(
    how: Preprocessing,
    limits: Limits,
    frame_px: tuple[int, int] = _PLANNED_FRAME_PX,
    chunk_frames: int = 1,
    label_tokens: int = 0,
    eviction: Eviction = DEFAULT_EVICTION,
) -> PlannedUse:
    """What a stream of chunks of `chunk_frames` frames of that size takes beside its trunk, within the limits.

    `label_tokens`: words that a model's format puts before each chunk.
    """
    height_px, width_px = smart_resize(*frame_px, how)
    grid = Grid(-(-chunk_frames // how.temporal_patch), height_px // how.patch_px, width_px // how.patch_px)
    positions, span = vision_positions(0, grid, merge=how.merge)
    around = 2 + label_tokens
    return PlannedUse(
        chunk_tokens=positions.shape[1] + around,
        chunk_positions=span + around,
        chunk_frames=chunk_frames,
        asks=limits.max_asks,
        ask_tokens=_PLANNED_QUESTION_TOKENS + limits.default_answer_tokens,
        keeps_keys=limits.kept_kv_bytes > 0,
        rewrites_window=eviction.level is not EvictionLevel.OLDEST,
        kept_bytes=limits.kept_kv_bytes,
    )


def load_engine(
    source: ModelSource,
    limits: Limits | None = None,
    clock: Clock | None = None,
    *,
    max_context_tokens: int = 0,
    eviction: Eviction | None = None,
    gate_levels: float = 0.0,
    layout: FrameLayout | None = None,
    path_proofs: tuple[PathProof, ...] = (),
) -> LoadedEngine:
    """Load a model and everything around it; `max_context_tokens` above 0 replaces the planned default budget,
    `eviction`, `gate_levels` and `layout` are those of sessions that do not say. `path_proofs`: what `proof` found out
    about `source`, to be told.

    Raises ModelNotUsable, DeviceAbsent, MissingExtra.
    """
    directory = source.directory()
    load: Any = ENGINES.load(model_type(directory))
    found = load(
        directory,
        device=source.device,
        dtype=source.dtype.value,
        attention=source.attention.value,
        decoding=source.decoding.value,
        kv_cache_dtype=source.kv_cache_dtype.value,
        weight_dtype=source.weight_dtype.value,
        random_weights=source.random_weights,
        seed=source.seed,
        threads=source.threads,
        name=PILOT if source.model == PILOT else None,
    )
    backend, text = found.backend, found.text
    limits = limits or Limits()
    window_frames = source.window_frames or backend.preprocessing.window_frames
    if window_frames is None and source.model == PILOT:
        window_frames = PILOT_WINDOW_FRAMES
    use = planned_use(
        backend.preprocessing,
        limits,
        label_tokens=label_tokens(backend.chunk_format, text),
        eviction=eviction or DEFAULT_EVICTION,
    )
    plan = plan_budget(
        backend.figures,
        replace(
            use,
            scratch_bytes=backend.scratch_bytes(use.chunk_tokens),
            holds_scores=backend.attention == AttentionKind.SDPA.value,
        ),
        free_bytes=backend.free_bytes(),
        usable_share=_USABLE_SHARE.get(backend.device, _USABLE_GPU_SHARE),
        policy=source.budget_policy,
        window_frames=window_frames,
    )
    if max_context_tokens:
        plan = set_by_operator(max_context_tokens, plan)
    clock = clock or WallClock()
    chat = ModelChat.from_directory(directory, text, datetime.fromtimestamp(clock.wall_ns() / 1e9))
    preparer = Preparer(text, chat, backend.vocab_size, backend.preprocessing, limits, backend.stage)
    return LoadedEngine(
        backend,
        text,
        preparer,
        plan,
        limits,
        clock,
        eviction or DEFAULT_EVICTION,
        gate_levels,
        layout,
        chat.format(backend.pointing),
        path_proofs,
    )
