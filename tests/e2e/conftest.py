"""One stack for all end-to-end tests that only look at it or fly one mission after another."""

from collections.abc import Iterator

import pytest
from stack_process import SCENE_SEED, Stack, start_stack, stop_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Five processes, up and warm."""
    running = start_stack(tmp_path_factory.mktemp("stack"), "--seed", str(SCENE_SEED))
    try:
        yield running
    finally:
        stop_stack(running)
