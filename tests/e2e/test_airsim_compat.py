"""Microsoft's own client against airfield: it connects, takes off, moves, takes images and lands.

python -m pytest tests/e2e/test_airsim_compat.py -q

Makes a virtual environment of its own, because the client cannot live beside current numpy and msgpack; it is kept in
`.stillwing/compat` for the next time.
"""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from stillwing_airfield.server import serving
from stillwing_airfield.sim import Airfield

pytestmark = [pytest.mark.compat, pytest.mark.timeout(900)]

_ROOT = Path(__file__).parents[2]
_HOME = _ROOT / ".stillwing" / "compat" / f"py{sys.version_info.major}{sys.version_info.minor}"
# The client's own dependency, msgpack-rpc-python, no longer builds; rpc-msgpack is the same on current msgpack.
_FIRST = ["rpc-msgpack==0.6", "numpy<2", "opencv-python-headless", "setuptools", "wheel"]
_THEN = ["--no-build-isolation", "--no-deps", "airsim==1.8.1"]


@pytest.fixture(scope="session")
def stock_python() -> Path:
    """A Python that can import the stock client."""
    python = _HOME / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    ready = _HOME / "ready"
    if not ready.exists():
        venv.create(_HOME, with_pip=True, clear=True)
        for arguments in (_FIRST, _THEN):
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *arguments], check=True, timeout=600)
        ready.touch()
    return python


def test_the_stock_client_flies(stock_python: Path) -> None:
    script = _ROOT / "examples" / "stock_airsim_flight.py"
    with serving(Airfield.of("meadow", 7)) as port:
        flight = subprocess.run(
            [str(stock_python), str(script), str(port)], capture_output=True, text=True, timeout=180, check=False
        )
    assert flight.returncode == 0, flight.stderr
    seen = json.loads(flight.stdout.splitlines()[-1])
    assert seen["armed"] and seen["api_control"]
    assert seen["takeoff"] and seen["flying"]
    assert seen["altitude_m"] == pytest.approx(2.0, abs=0.1)
    assert seen["moved"] and seen["distance_m"] == pytest.approx(1.3, abs=0.4)
    assert seen["turned"] and seen["yaw_deg"] == pytest.approx(90, abs=4)
    assert seen["image"] == [240, 320, 3] and seen["png_is_raw"] and seen["same_instant"]
    shape, nearest_m, farthest_m = seen["depth"]
    assert shape == [240, 320] and 0.1 < nearest_m < 20 < farthest_m
    assert "ground" in seen["objects"] and any(name.startswith("beacon_") for name in seen["objects"])
    assert seen["land"] and seen["landed"] and seen["touched"] == "ground"
