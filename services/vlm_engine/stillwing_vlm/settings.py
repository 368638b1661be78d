"""The engine's settings: the one place that reads its environment, STILLWING_VLM_…"""

from dataclasses import fields
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from stillwing_common.errors import InvalidInput
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.core.catalog import PILOT, AttentionKind, Decoding, Dtype, KvCacheDtype, ModelSource, WeightDtype
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.memory.exports import ExportFolder
from stillwing_vlm.core.planner import BudgetPolicy
from stillwing_vlm.core.requests import MAX_GATE_LEVELS, Eviction, EvictionLevel, EvictionPositions, FrameLayout

DEFAULT_PORT = 50063


class VlmSettings(ServerSettings):
    """How the engine listens, what it loads and what it allows."""

    model_config = SettingsConfigDict(env_prefix="STILLWING_VLM_", extra="ignore")

    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    model: str = Field(
        default=PILOT, description='"pilot", or a Hugging Face directory of a Qwen2-VL, Qwen2.5-VL or Qwen3-VL.'
    )
    random_weights: Path | None = Field(
        default=None, description="Directory with configuration and tokenizer; its weights are made up."
    )
    seed: int = Field(default=0, ge=0, description="Seed of made-up weights.")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N.")
    dtype: Dtype = Field(
        default=Dtype.AUTO, description="auto (float32 on the CPU, bfloat16 on CUDA), float32 or bfloat16."
    )
    attention: AttentionKind = Field(
        default=AttentionKind.AUTO,
        description="auto (torch's own on CUDA, llvm on a CPU with AVX2), sdpa (torch's own), triton, flash or llvm.",
    )
    decoding: Decoding = Field(
        default=Decoding.AUTO,
        description="auto (eager), eager, static (buffers that stay) or graphs (CUDA).",
    )
    kv_cache_dtype: KvCacheDtype = Field(
        default=KvCacheDtype.AUTO, description="auto (as the weights), or fp8: half the memory of bfloat16, less exact."
    )
    weight_dtype: WeightDtype = Field(
        default=WeightDtype.AUTO,
        description="auto, or int8 for the language model's linear layers: half the memory of bfloat16, less exact.",
    )
    proves_paths: bool = Field(
        default=True, description="Hold faster paths that are asked for to the plain one before they are used."
    )
    proof_deadline_s: float = Field(
        default=120.0, gt=0, description="Longest that one of them may take for it; or four times the plain one's time."
    )
    threads: int = Field(default=1, ge=1, description="CPU threads of the tensor library; small models want one.")
    max_context_tokens: int = Field(
        default=0, ge=0, description="Default budget of a session; 0 lets the planner choose."
    )
    budget_policy: Literal["safe", "aggressive"] = Field(
        default="safe", description="safe leaves room for answers that outlast their window; aggressive less of it."
    )
    window_frames: int = Field(default=0, ge=0, description="Frames a session looks back on; 0 as the model wants.")
    eviction_level: EvictionLevel = Field(
        default=EvictionLevel.OLDEST, description="Chunks that leave a full window: oldest, or subsampled to compare."
    )
    eviction_positions: EvictionPositions = Field(
        default=EvictionPositions.CONTIGUOUS, description="Positions of what stays: contiguous, or gap to compare."
    )
    gate_levels: float = Field(
        default=0.0,
        ge=0,
        le=MAX_GATE_LEVELS,
        description="Mean difference of a patch, of 255, below which its token is not sent again; 0 sends all.",
    )
    layout: str = Field(
        default="",
        description='Sink, memory and window of a session in frames, as in "3+3+6"; empty: as the budget allows.',
    )
    exports_dir: Path | None = Field(
        default=None, description="Folder in which sessions are kept when a client wants it; none unless set."
    )
    max_exports: int = Field(default=Limits().max_exports, ge=1, description="Most sessions kept in files.")
    max_recalled_frames: int = Field(
        default=Limits().max_recalled_frames, ge=1, description="Most frames in the memory segment."
    )
    kept_kv_bytes: int = Field(
        default=0,
        ge=0,
        description="Bytes a session keeps of evicted keys and values, to recall them as they were; 0 keeps none.",
    )
    metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of the Prometheus endpoint; 0 takes any free one, none: off."
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        description="Its address; anything but loopback needs TLS files and a client certificate authority.",
    )
    max_sessions: int = Field(default=Limits().max_sessions, ge=1, description="Most sessions at once.")
    max_asks: int = Field(default=Limits().max_asks, ge=1, description="Most asks under way in a session.")
    frame_credits: int = Field(default=Limits().frame_credits, ge=1, description="Most frames not yet acknowledged.")
    max_text_chars: int = Field(default=Limits().max_text_chars, ge=1, description="Longest prompt or schema.")
    max_question_tokens: int = Field(
        default=Limits().max_question_tokens,
        ge=1,
        description="Most tokens of a question, its template's words included.",
    )
    max_tools: int = Field(default=Limits().max_tools, ge=0, description="Most tools of a session.")
    max_messages: int = Field(default=Limits().max_messages, ge=0, description="Most messages of an ask.")
    max_conversation_chars: int = Field(
        default=Limits().max_conversation_chars,
        ge=0,
        description="Most characters of an ask's messages together, and of a session's tools.",
    )
    max_watches: int = Field(default=Limits().max_watches, ge=0, description="Most watch conditions in a session.")
    idle_timeout_s: float = Field(
        default=Limits().idle_timeout_s,
        ge=0,
        description="A session of which nothing is asked for so long is ended; 0 never.",
    )
    max_engine_asks: int = Field(
        default=Limits().max_engine_asks, ge=0, description="Most asks under way in all sessions; 0 sets no limit."
    )
    max_engine_context_tokens: int = Field(
        default=0, ge=0, description="Most tokens that all sessions' budgets may add up to; 0 sets no limit."
    )
    max_engine_frame_bytes: int = Field(
        default=Limits().max_engine_frame_bytes,
        ge=0,
        description="Most bytes of frames received and not yet appended, of all sessions; 0 sets no limit.",
    )
    max_peer_sessions: int = Field(default=0, ge=0, description="Most sessions of one peer's host; 0: as the engine.")
    max_peer_asks: int = Field(default=0, ge=0, description="Most asks of one peer's host; 0: as the engine.")
    max_peer_context_tokens: int = Field(
        default=0, ge=0, description="Most tokens of the budgets of one peer's host; 0: as the engine."
    )
    max_peer_frame_bytes: int = Field(
        default=0, ge=0, description="Most bytes of frames of one peer's host under way; 0: as the engine."
    )

    def source(self) -> ModelSource:
        """What to load."""
        return ModelSource(
            model=self.model if self.random_weights is None else str(self.random_weights),
            random_weights=self.random_weights is not None,
            device=self.device,
            dtype=self.dtype,
            attention=self.attention,
            decoding=self.decoding,
            kv_cache_dtype=self.kv_cache_dtype,
            weight_dtype=self.weight_dtype,
            threads=self.threads,
            seed=self.seed,
            window_frames=self.window_frames or None,
            budget_policy=BudgetPolicy[self.budget_policy.upper()],
        )

    def eviction(self) -> Eviction:
        """How sessions let old chunks go that do not say it themselves."""
        return Eviction(self.eviction_level, self.eviction_positions)

    @field_validator("layout")
    @classmethod
    def _check_layout(cls, text: str) -> str:
        try:
            FrameLayout.parse(text)
        except InvalidInput as error:
            raise ValueError(str(error)) from error
        return text

    def frame_layout(self) -> FrameLayout | None:
        """How sessions divide their context that do not say."""
        return FrameLayout.parse(self.layout)

    def limits(self) -> Limits:
        """What a caller may do."""
        named = {field.name for field in fields(Limits)} & set(VlmSettings.model_fields)
        return Limits(**{name: getattr(self, name) for name in named})

    def exports(self) -> ExportFolder | None:
        """Where sessions are kept in files; the folder is made. Raises ExportNotWritten."""
        return None if self.exports_dir is None else ExportFolder(self.exports_dir, self.max_exports)
