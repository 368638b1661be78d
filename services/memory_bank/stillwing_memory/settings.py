"""The memory bank's settings: the one place that reads its environment, STILLWING_MEMORY_…"""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from stillwing_rpc.settings import ServerSettings

DEFAULT_PORT = 50062


class MemorySettings(ServerSettings):
    """How the bank listens and where it keeps things."""

    model_config = SettingsConfigDict(env_prefix="STILLWING_MEMORY_", extra="ignore")

    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    folder: Path = Field(default=Path(".stillwing/memory"), description="Data folder of the embedded server.")
    dsn: SecretStr = Field(
        default=SecretStr(""),
        description="A PostgreSQL with pgvector 0.8 or newer, as libpq takes it; empty runs the embedded server.",
    )
    similarity: Literal["auto", "minilm", "token_overlap"] = Field(
        default="auto", description="How texts are compared; auto takes minilm where it is installed."
    )
    match_gate_m: float = Field(
        default=5.0, gt=0, description="Two placed things of one name that are farther apart are two things."
    )
