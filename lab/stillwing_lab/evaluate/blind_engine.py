"""An engine without a model: it takes frames and remembers none, for policies that decide without one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from stillwing_common.types import Frame
from stillwing_lab.evaluate.inline_engine import settled
from stillwing_vlm.core.requests import SessionConfig
from stillwing_vlm.core.results import AppendResult, Evicted, ModelInfo


class BlindSession:
    """See `VideoStream`."""

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        """See `VideoStream`."""
        return settled(lambda: AppendResult(tuple(frame.frame_id for frame in frames), 0, 0, 0.0))

    async def evictions(self) -> AsyncIterator[Evicted]:
        """Nothing is ever evicted."""
        await asyncio.get_running_loop().create_future()
        yield Evicted((), "", 0)

    async def close(self) -> None:
        """Nothing to let go."""


class BlindEngine:
    """See `SessionSource`."""

    async def model_info(self) -> ModelInfo:
        """See `SessionSource`."""
        return ModelInfo("blind", "none", "cpu", "none", 0, 0, 0, "", can_snapshot=False, can_recall=False)

    async def open_session(self, config: SessionConfig) -> Any:
        """A video stream alone; any type, because a mission whose policy asks nothing does with it."""
        return BlindSession()
