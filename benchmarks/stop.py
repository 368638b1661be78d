"""How soon an emergency stop is acknowledged beside a flight: `python benchmarks/stop.py [--trials 120] [--out FILE]`.

Starts airfield and a bridge that keeps stops in a file, as processes. One client flies at 1 m/s and another reads
frames at 10 Hz, while a third stops the vehicle: measured is the time until its answer, which comes when the hold is in
force and the stop is on the disk. Then it is cleared and the next trial begins. At last `stillwing stop` itself is run
as a process: its CPU time and how long it takes from the start to its end.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.progress import track

from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.commands import SetVelocity, Takeoff
from stillwing_bridge.core.types import Lease, StopLevel
from stillwing_common.conditions import commit, hardware
from stillwing_lab.field import running_field

IMAGES_HZ = 10.0
SPEED_M_S = 1.0
WITHIN_MS = 100.0
TOKEN = "benchmark"


async def stream(address: str) -> None:
    """Read frames until cancelled."""
    reader = await RemoteBridge.connect(address, wait_s=60)
    with contextlib.suppress(asyncio.CancelledError):
        async for _ in reader.watch_frames("drone", max_rate_hz=IMAGES_HZ):
            pass
    await reader.close()


async def fly(bridge: RemoteBridge, lease: Lease, right_m_s: float) -> None:
    """Begin to fly sideways; returns at three quarters of the speed."""
    while True:
        frame_id = (await bridge.capture_frame("drone")).frame_id
        await bridge.command(lease, SetVelocity(right_m_s=right_m_s), ttl_s=2, based_on_frame_id=frame_id)
        with contextlib.suppress(TimeoutError):  # then again, which is a sign of life, too
            async with asyncio.timeout(0.5):
                async for telemetry in bridge.watch_telemetry("drone"):
                    if telemetry.velocity.speed_m_s >= 0.75 * SPEED_M_S:
                        return


async def acknowledgements_ms(address: str, trials: int) -> list[float]:
    """Milliseconds from each stop to its answer."""
    pilot, stopper = [await RemoteBridge.connect(address, wait_s=60) for _ in range(2)]
    reading = asyncio.create_task(stream(address))
    lease = (await pilot.acquire_lease("drone", "benchmark", stale_after_s=30)).lease
    await pilot.wait_command(await pilot.command(lease, Takeoff(10), ttl_s=30), 30)
    taken_ms = []
    for trial in track(range(trials), description="stopped in mid-flight"):
        await fly(pilot, lease, SPEED_M_S if trial % 2 else -SPEED_M_S)
        began_s = time.perf_counter()
        await stopper.emergency_stop("drone", StopLevel.HOLD, "benchmark", who="benchmark")
        taken_ms.append((time.perf_counter() - began_s) * 1e3)
        stop = await stopper.get_emergency_stop("drone")
        if stop is None or stop.not_on_disk:
            raise SystemExit(f"the stop is not on the disk: {stop}")
        await stopper.clear_emergency_stop("drone", TOKEN)
    reading.cancel()
    await asyncio.wait({reading})
    await pilot.close()
    await stopper.close()
    return taken_ms


def command_s(address: str) -> tuple[float, float]:
    """CPU and wall seconds of one `stillwing stop`."""
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "stillwing_cli.main", "stop", "--bridge", address]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after, wall_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began_s
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall_s


def share(values: list[float], of: float) -> float:
    """The value that a share of all do not exceed."""
    return round(sorted(values)[math.ceil(of * len(values)) - 1], 3)


def main() -> None:
    """Start, stop, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=120)
    parser.add_argument("--commands", type=int, default=8, help="runs of `stillwing stop`")
    parser.add_argument("--out", type=Path, default=None, help="JSON file for the figures")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "STILLWING_BRIDGE_OPERATOR_TOKEN": TOKEN,
            "STILLWING_BRIDGE_STOP_FILE": str(Path(folder) / "stops.json"),
            "STILLWING_BRIDGE_MAX_UNSEEN_STEP_M": "10",
            "STILLWING_BRIDGE_MAX_UNSEEN_SPEED_M_S": "3",
        }
        with running_field() as field:
            taken_ms = asyncio.run(acknowledgements_ms(field.bridge, arguments.trials))
            commands = [command_s(field.bridge) for _ in range(arguments.commands)]
    report = {
        "hardware": hardware(),
        "load": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1),
        "commit": commit(),
        "command": " ".join(["python", *sys.argv]),
        "trials": len(taken_ms),
        "acknowledged_ms": {"p50": share(taken_ms, 0.5), "p99": share(taken_ms, 0.99), "worst": share(taken_ms, 1)},
        f"within_{WITHIN_MS:g}_ms": sum(value <= WITHIN_MS for value in taken_ms),
        "stillwing_stop": {
            "runs": len(commands),
            "cpu_s": {"p50": share([cpu for cpu, _ in commands], 0.5), "worst": share([cpu for cpu, _ in commands], 1)},
            "wall_s": {"p50": share([s for _, s in commands], 0.5), "worst": share([s for _, s in commands], 1)},
        },
        "acknowledgements_ms": [round(value, 2) for value in taken_ms],
    }
    print(json.dumps({name: value for name, value in report.items() if name != "acknowledgements_ms"}, indent=1))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
