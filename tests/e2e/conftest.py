"""One stack for all end-to-end tests that only look at it or fly one mission after another."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack_process import SCENE_SEED, Stack, start_stack, stop_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Five processes, up and warm, in a folder that the database's own user can reach (pytest's is closed to it)."""
    with tempfile.TemporaryDirectory(prefix="sw-") as folder:
        running = start_stack(Path(folder), "--seed", str(SCENE_SEED))
        try:
            yield running
        finally:
            stop_stack(running)
