"""How long a frame takes from the camera into the model, and where: `python benchmarks/frame_path.py [--frames 100]`.

Starts the five processes, sits where the agent sits, and times every hop of camera → bridge → agent → engine → credit
back. Medians and 90th percentiles; the first line names the hardware. The vehicle's clock is related to the wall clock
by `TimeSync`, to within about a millisecond.
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from stillwing_agent.core.prompting.prompts import system_prompt
from stillwing_bridge.client import RemoteBridge
from stillwing_common.conditions import hardware
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.requests import SessionConfig

VEHICLE = "drone"
WARM_UP_FRAMES = 10


@contextmanager
def stack() -> Iterator[dict[str, str]]:
    """The five processes on free ports; their addresses."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "stillwing_cli.main", "up", "--ports", "auto", "--json"],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise SystemExit("the stack did not come up; run `stillwing doctor`")
            yield json.loads(line)["addresses"]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


async def measure(addresses: dict[str, str], frames: int, rate_hz: float) -> dict[str, list[float]]:
    """Milliseconds of each hop, for each frame."""
    bridge = await RemoteBridge.connect(addresses["sim_bridge"])
    engine = await RemoteEngine.connect(addresses["vlm_engine"])
    session = await engine.open_session(SessionConfig(system_prompt(), label="benchmark"))
    hops: dict[str, list[float]] = {}
    count = 0
    async for update in bridge.watch_frames(VEHICLE, max_rate_hz=rate_hz):
        arrived_ns = time.time_ns()
        result = await session.append(update.frame)
        credit_ns = time.time_ns()
        count += 1
        if count <= WARM_UP_FRAMES:
            continue
        sync = await bridge.time_sync(VEHICLE)
        assert sync.vehicle is not None
        wall_of_vehicle_zero_ns = sync.bridge_send_time_ns - sync.vehicle.time_ns
        captured_ns = update.frame.capture.time_ns + wall_of_vehicle_zero_ns
        hop = {
            "camera": 1e-6 * (update.receive_time_ns - captured_ns),
            "jpeg": 1e-6 * (update.offer_time_ns - update.receive_time_ns),
            "gRPC bridge to agent": 1e-6 * (arrived_ns - update.offer_time_ns),
            "engine": 1e3 * result.elapsed_s,
            "gRPC agent to engine and back": 1e-6 * (credit_ns - arrived_ns) - 1e3 * result.elapsed_s,
            "total": 1e-6 * (credit_ns - captured_ns),
        }
        hop["gRPC together"] = hop["gRPC bridge to agent"] + hop["gRPC agent to engine and back"]
        for name, value in hop.items():
            hops.setdefault(name, []).append(value)
        if len(hops["total"]) >= frames:
            break
    await session.close()
    await engine.close()
    await bridge.close()
    return hops


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rate-hz", type=float, default=4.0)
    parser.add_argument("--out", type=Path, default=None, help="JSON file for the figures")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{hardware()}, Python {platform.python_version()}, load {load:.1f}")
    with stack() as addresses:
        hops = asyncio.run(measure(addresses, arguments.frames, arguments.rate_hz))
    print(f"{'hop':<32}{'median':>10}{'p90':>10}")
    for name, values in hops.items():
        print(f"{name:<32}{statistics.median(values):>7.2f} ms{np.percentile(values, 90):>7.2f} ms")
    if arguments.out is not None:
        figures = {name: statistics.median(values) for name, values in hops.items()}
        arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
