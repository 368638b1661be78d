"""Settings of an engine that asks an endpoint: the one place that reads its environment, STILLWING_ENDPOINT_…"""

from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from stillwing_common.errors import InvalidInput
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.core.endpoint.http import EndpointAddress
from stillwing_vlm.core.endpoint.window import PictureBudget
from stillwing_vlm.core.requests import FrameLayout

DEFAULT_PORT = 50063
_BUDGET = PictureBudget()


class EndpointSettings(ServerSettings):
    """How it listens, which endpoint it asks, and how many pictures go along."""

    model_config = SettingsConfigDict(env_prefix="STILLWING_ENDPOINT_", extra="ignore")

    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    url: str = Field(
        default="", description="The endpoint's url up to /chat/completions, as in https://api.openai.com/v1."
    )
    model: str = Field(default="", description="Name of the model there; it has to see pictures and call tools.")
    key: SecretStr = Field(default=SecretStr(""), description="Its bearer key; empty sends none.")
    timeout_s: float = Field(default=60.0, gt=0, description="Longest wait for one answer, with all its tries.")
    tries: int = Field(default=3, ge=1, le=10, description="How often a busy endpoint is asked the same.")
    fields: dict[str, Any] = Field(
        default={},
        description='JSON of fields that go into every request in the place of ours, as in {"temperature": 1}; '
        "null leaves one out.",
    )
    layout: str = Field(
        default=str(_BUDGET.layout), description="Pictures of one question: first, recalled and newest frames."
    )
    picture_px: int = Field(default=_BUDGET.max_side_px, ge=28, le=4096, description="Longest side of a picture.")
    picture_bytes: int = Field(
        default=_BUDGET.max_bytes, ge=10_000, description="Most bytes of JPEG in one question; the newest go first."
    )

    def address(self) -> EndpointAddress:
        """Which endpoint. Raises InvalidInput, InsecureChannel."""
        return EndpointAddress(
            self.url, self.model, self.key.get_secret_value(), self.timeout_s, self.tries, self.fields
        )

    def budget(self) -> PictureBudget:
        """What goes along with a question. Raises InvalidInput."""
        layout = FrameLayout.parse(self.layout)
        if layout is None:
            raise InvalidInput('a layout is sink+memory+window in frames, as in "1+3+8"', field="layout")
        return PictureBudget(layout, self.picture_px, self.picture_bytes)
