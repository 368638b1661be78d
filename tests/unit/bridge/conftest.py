"""The scripted simulator that the tests of AirSim's vehicle share."""

from collections.abc import Iterator

import pytest
from airsim_script import Script
from bridge_toys import ScriptedServer


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def server(script: Script) -> Iterator[ScriptedServer]:
    server = ScriptedServer(script)
    yield server
    server.close()
