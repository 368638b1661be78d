"""The memory bank's settings: the one place that reads its environment, STILLWING_MEMORY_…"""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from stillwing_memory.core.bank import BankConfig
from stillwing_memory.core.stores.retention import Retention
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
    tenant: str = Field(default="default", description="Whose memory this is; tenants of one database see their own.")
    scorer: Literal["similarity", "attention", "newest"] = Field(
        default="similarity", description="How the frames of a chunk are scored against an instruction's things."
    )
    images_url: str = Field(
        default="", description="Folder or URL (s3://…) for images above 256 KB; empty: images/ in the data folder."
    )
    memory_frames: int = Field(default=3, ge=1, le=16, description="Keyframes an instruction has in sight.")
    least_likeness: float = Field(
        default=0.3, ge=0, le=1, description="An earlier instruction is recalled only from this likeness on."
    )
    search_breadth: int = Field(default=100, ge=1, le=1000, description="Candidates the vector index looks at.")
    max_keyframes: int = Field(default=0, ge=0, description="Most keyframes with pixels; 0: without limit.")
    max_image_bytes: int = Field(default=0, ge=0, description="Most bytes of pixels in all; 0: without limit.")
    at_limit: Literal["refuse", "forget"] = Field(
        default="refuse", description="At a limit: refuse what is new, or forget the pixels of what is oldest."
    )
    match_gate_m: float = Field(
        default=5.0, gt=0, description="Two placed things of one name that are farther apart are two things."
    )

    def core(self) -> BankConfig:
        """What the core takes."""
        return BankConfig(
            folder=self.folder,
            dsn=self.dsn.get_secret_value(),
            similarity=self.similarity,
            match_gate_m=self.match_gate_m,
            tenant=self.tenant,
            scorer=self.scorer,
            images_url=self.images_url,
            memory_frames=self.memory_frames,
            least_likeness=self.least_likeness,
            search_breadth=self.search_breadth,
            retention=Retention(self.max_keyframes, self.max_image_bytes, self.at_limit == "forget"),
        )
