"""The agent's settings, read from the environment (`STILLWING_AGENT_…`) in this one place."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from stillwing_agent.core.agent import AgentConfig
from stillwing_agent.core.flight import FlightSettings, MissionMemorySettings, RecallBy, parse_layout
from stillwing_agent.core.prompting.base import ProfileName
from stillwing_agent.core.prompting.prompts import ToolStyle
from stillwing_common.errors import InvalidInput
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_rpc.security import usable_token
from stillwing_rpc.settings import ServerSettings


class AgentSettings(ServerSettings):
    """How the agent serves, whom it flies with, and how."""

    model_config = SettingsConfigDict(env_prefix="STILLWING_AGENT_", extra="ignore")

    port: int = Field(default=50064, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    agent: str = Field(default="tool_calling", description="Which implementation flies, by entry-point name.")
    bridge_address: str = Field(default="127.0.0.1:50061", description="sim_bridge, host:port.")
    memory_address: str = Field(
        default="127.0.0.1:50062", description="memory_bank, host:port; empty flies without a memory bank."
    )
    engine_address: str = Field(default="127.0.0.1:50063", description="vlm_engine, host:port.")
    connect_wait_s: float = Field(default=30.0, gt=0, description="How long to wait for each of the three at start.")
    peer_tls_ca_file: Path | None = Field(default=None, description="PEM authority the three services are from.")
    peer_tls_cert_file: Path | None = Field(default=None, description="PEM certificate shown to the three services.")
    peer_tls_key_file: Path | None = Field(default=None, description="PEM key of that certificate.")
    peer_token: SecretStr | None = Field(default=None, description="Bearer token for the three services.")
    run_folder: Path | None = Field(
        default=None, description="Where each mission's events are written, one JSON line each; unset: memory alone."
    )
    time_limit_s: float = Field(default=600.0, gt=0, description="Limit of a mission that was given none.")
    takeoff_altitude_m: float = Field(default=2.0, gt=0, description="Metres above home a mission begins at.")
    frame_rate_hz: float = Field(default=2.0, ge=0, description="Most frames a second for the engine; 0: all.")
    camera_id: str = Field(default="", description="Camera to see with; empty is the vehicle's first.")
    motion_ttl_s: float = Field(default=15.0, gt=0, description="Lifetime of one motion; the bridge holds at its end.")
    answer_timeout_s: float = Field(default=120.0, gt=0, description="Longest wait for one answer of the model.")
    memory_reader: Literal["", "noun_phrases", "model"] = Field(
        default="",
        description="Who reads what an instruction is about, so that it can be filed and recalled; empty: nobody.",
    )
    memory_recall: bool = Field(
        default=False,
        description="Put recalled keyframes before the model; worth it where what left the window matters.",
    )
    memory_recall_by: RecallBy = Field(
        default=RecallBy.PIXELS,
        description="pixels: recalled keyframes are encoded again; kept: the engine's own keys and values, where it "
        "keeps them aside.",
    )
    memory_chunk_frames: int = Field(
        default=3, ge=1, le=16, description="Of so many frames that left the model's sight the best is filed."
    )
    tool_style: ToolStyle = Field(
        default=ToolStyle.MOVES,
        description="How the tool-calling policy tells a step: moves, in metres, or pixels, as points of the picture.",
    )
    memory_layers: tuple[int, ...] = Field(
        default=(),
        description="Layers whose attention a bank with that scorer is given, as in [18,24]; empty: one two thirds up.",
    )
    memory_layout: str = Field(
        default="",
        description='Video memory in frames, sink+memory+window, as in "3+3+6"; empty: the engine\'s default.',
    )
    prompt_profile: ProfileName = Field(
        default=ProfileName.AUTO,
        description="How the model is spoken to: compact, as the pilot was trained; native, a conversation in the "
        "model's own chat template; auto, by what the engine says of the model. A mission's param overrules it.",
    )
    conversation_tokens: int = Field(
        default=0,
        ge=0,
        description="What happened is told in so many tokens; 0: a quarter of the video memory, or 2000.",
    )
    max_thought_tokens: int = Field(
        default=48, ge=0, le=512, description="Tokens of what a model may say of its own before each call."
    )
    operator_wait_s: float = Field(default=120.0, gt=0, description="Wait for the operator's answer to a question.")
    export_every_chunks: int = Field(
        default=30,
        ge=0,
        description="So often a mission's session is kept in a file of the engine's, where that keeps any; 0: never.",
    )
    engine_wait_s: float = Field(
        default=120.0, gt=0, description="Wait, the vehicle holding, for an engine that died in a mission."
    )
    tools: str = Field(
        default="",
        description="Tools of your own that a model which converses may call: names in the entry-point group "
        "stillwing.tools, comma-separated.",
    )
    tool_timeout_s: float = Field(default=30.0, gt=0, description="Longest wait for a tool of your own.")
    max_context_tokens: int = Field(default=0, ge=0, description="Video memory in tokens; 0: the engine's default.")

    @field_validator("memory_layout")
    @classmethod
    def _check_layout(cls, text: str) -> str:
        try:
            parse_layout(text)
        except InvalidInput as error:
            raise ValueError(str(error)) from error
        return text

    def tool_names(self) -> tuple[str, ...]:
        """Tools of the user's own, by their names."""
        return tuple(name.strip() for name in self.tools.split(",") if name.strip())

    def core(self) -> AgentConfig:
        """What the core takes."""
        return AgentConfig(
            default_time_limit_s=self.time_limit_s,
            log_folder=self.run_folder,
            flight=FlightSettings(
                takeoff_altitude_m=self.takeoff_altitude_m,
                frame_rate_hz=self.frame_rate_hz,
                camera_id=self.camera_id,
                motion_ttl_s=self.motion_ttl_s,
                answer_timeout_s=self.answer_timeout_s,
                max_context_tokens=self.max_context_tokens,
                layout=parse_layout(self.memory_layout),
                memory_reader=self.memory_reader,
                tool_style=self.tool_style,
                prompt_profile=self.prompt_profile,
                conversation_tokens=self.conversation_tokens,
                max_thought_tokens=self.max_thought_tokens,
                operator_wait_s=self.operator_wait_s,
                tool_timeout_s=self.tool_timeout_s,
                export_every_chunks=self.export_every_chunks,
                engine_wait_s=self.engine_wait_s,
                memory=MissionMemorySettings(
                    chunk_frames=self.memory_chunk_frames,
                    recall=self.memory_recall,
                    recall_by=self.memory_recall_by,
                    layers=self.memory_layers,
                ),
            ),
        )

    def channel(self) -> ChannelSettings:
        """How the three services are reached."""
        token = None if self.peer_token is None else self.peer_token.get_secret_value()
        if token is not None:
            usable_token(token, "STILLWING_AGENT_PEER_TOKEN")
        return ChannelSettings(
            tls_ca_file=self.peer_tls_ca_file,
            tls_cert_file=self.peer_tls_cert_file,
            tls_key_file=self.peer_tls_key_file,
            token=token,
        )
