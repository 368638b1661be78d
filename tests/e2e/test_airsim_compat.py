"""The clients that AirSim's users have, as their makers ship them, fly one script against airfield, each its dialect.

python -m pytest tests/e2e/test_airsim_compat.py -q

Makes a virtual environment for each client, because they cannot live beside current numpy and msgpack; they are kept in
the user's cache folder for the next time.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cached_installs import client_python

from stillwing_airfield.dialects import Dialect
from stillwing_airfield.fleet import Fleet
from stillwing_airfield.server import serving
from stillwing_airfield.sim import Airfield

pytestmark = [pytest.mark.compat, pytest.mark.timeout(900)]

_ROOT = Path(__file__).parents[2]
_SPOKEN = {"airsim": Dialect.MS, "cosysairsim": Dialect.COSYS}


def run(python: Path, port: int, *arguments: str) -> "subprocess.CompletedProcess[str]":
    script = _ROOT / "examples" / "stock_airsim_flight.py"
    command = [str(python), str(script), "--port", str(port), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.parametrize("client", _SPOKEN)
def test_the_stock_client_flies(client: str) -> None:
    python = client_python(client)
    with serving(Airfield.of("meadow", 7, fleet=Fleet(clock_speed=4.0)), dialect=_SPOKEN[client]) as port:
        flight = run(python, port, "--client", client)
    assert flight.returncode == 0, flight.stderr + flight.stdout
    seen: dict[str, Any] = json.loads(flight.stdout.splitlines()[-1])
    assert seen["client"] == client
    assert seen["version"] == {"airsim": 1, "cosysairsim": 4}[client]
    assert seen["vehicles"] == ["SimpleFlight"]
    assert seen["altitude_m"] == pytest.approx(2.0, abs=0.1)
    assert seen["altitude_by_pressure_m"] == pytest.approx(2.0, abs=0.3)
    assert seen["distance_m"] == pytest.approx(1.3, abs=0.4)
    assert seen["yaw_deg"] == pytest.approx(90, abs=4)
    assert seen["image"] == [240, 320, 3] and seen["png_is_raw"] and seen["same_instant"]
    shape, nearest_m, farthest_m = seen["depth"]
    assert shape == [240, 320] and 0.1 < nearest_m < 20 < farthest_m
    assert seen["fov_deg"] == 90
    assert "ground" in seen["objects"] and any(name.startswith("beacon_") for name in seen["objects"])
    assert seen["stepped_s"] == pytest.approx(0.5)
    assert seen["touched"] == "ground"


def test_a_client_of_the_other_dialect_is_told_what_is_wrong() -> None:
    python = client_python("airsim")
    with serving(Airfield.of("meadow", 7, fleet=Fleet(clock_speed=4.0)), dialect=Dialect.COSYS) as port:
        flight = run(python, port, "--client", "airsim")
    assert flight.returncode != 0
    assert "invalid number of arguments. Expected: 2, got: 3" in flight.stdout + flight.stderr
