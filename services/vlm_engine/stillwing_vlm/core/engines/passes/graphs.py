"""Device work captured as CUDA graphs. It knows nothing of what is captured."""

from collections.abc import Callable
from typing import Any

import torch


class GraphCapture:
    """A `Capture` for one device. Graphs share the memory of what lives only while one of them runs, so what is
    captured must leave its results in buffers of its own, and graphs are replayed one after another, on one stream.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool: Any = None
        self._first: Any = None

    def __call__(self, function: Callable[[], None]) -> Callable[[], None]:
        """Run `function`, which compiles and sets up what it needs, and capture it: the result replays it."""
        with torch.cuda.device(self._device):
            function()
            torch.cuda.synchronize(self._device)
            graph: Any = torch.cuda.CUDAGraph()
            # Other threads bring pictures over meanwhile; only this one's calls belong to the graph.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                function()
        # The pool lives as long as one of its graphs does: the first stays, so that all that come find it there.
        self._first = self._first or graph
        self._pool = self._first.pool()
        replay: Callable[[], None] = graph.replay
        return replay
