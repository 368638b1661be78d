"""How soon a vehicle stands still once its author was killed: `python benchmarks/kill.py [--trials 200] [--out FILE]`.

Starts airfield and a bridge as processes. In each trial a client of its own process takes the lease, flies at a
velocity that is drawn anew, and is ended by SIGKILL in mid-flight; then the truth is read from the simulator, past the
bridge, until the vehicle has been slower than 0.1 m/s for half a second. After every tenth trial one more client is
stopped by SIGSTOP instead, whose connections stay open: only the watchdog's second of silence can end that flight.

Then the drift while an author thinks: steps are flown, and after each the vehicle is watched through a thinking
interval of three seconds.
"""

import argparse
import asyncio
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.progress import track

from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.commands import Step, Takeoff
from stillwing_bridge.core.types import Lease
from stillwing_bridge.core.vehicles.airsim.transport import Transport
from stillwing_common.conditions import commit, hardware
from stillwing_lab.field import running_field

STILL_M_S = 0.1
WITHIN_S = 1.5
MAX_DRIFT_M = 0.3
FENCE_M = 12.0
THINKING_S = 3.0

# Waits for a line on stdin, so that its start costs no trial anything; then flies until it is killed.
CLIENT = """
import asyncio, sys
from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.commands import SetVelocity

async def main():
    bridge = await RemoteBridge.connect(sys.argv[1])
    print("ready", flush=True)
    forward, right = map(float, (await asyncio.to_thread(sys.stdin.readline)).split())
    lease = (await bridge.acquire_lease("drone", "to be killed")).lease
    while True:
        frame = await bridge.capture_frame("drone")
        await bridge.command(
            lease, SetVelocity(forward_m_s=forward, right_m_s=right), ttl_s=1.5, based_on_frame_id=frame.frame_id
        )
        await asyncio.sleep(0.2)

asyncio.run(main())
"""


def start_client(address: str) -> subprocess.Popen[str]:
    """A client that is ready to fly."""
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


class Truth:
    """The simulator's own kinematics, read past the bridge."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self._transport = Transport.open(host, int(port), timeout_s=5, name="truth")

    async def read(self) -> tuple[float, tuple[float, float, float]]:
        """Speed in m/s and position in NED metres."""
        kinematics = await self._transport.call("simGetGroundTruthKinematics", "", timeout_s=5)
        speed_m_s = math.hypot(*kinematics["linear_velocity"].values())
        where = kinematics["position"]
        return speed_m_s, (where["x_val"], where["y_val"], where["z_val"])

    async def still_after_s(self, since_s: float) -> tuple[float, float]:
        """Seconds from `since_s` until it stays below 0.1 m/s for half a second, and metres flown until then."""
        _, began = await self.read()
        still_since_s, place = since_s, began
        while time.monotonic() - still_since_s < 0.5:
            speed_m_s, here = await self.read()
            if speed_m_s >= STILL_M_S:
                still_since_s, place = time.monotonic(), here
            if time.monotonic() - since_s > 30:
                break
            await asyncio.sleep(0.01)
        return still_since_s - since_s, math.dist(began, place)


async def do(bridge: RemoteBridge, lease: Lease, command: Step | Takeoff, ttl_s: float = 30) -> None:
    """One command to its end."""
    frame_id = (await bridge.capture_frame("drone")).frame_id
    await bridge.wait_command(await bridge.command(lease, command, ttl_s=ttl_s, based_on_frame_id=frame_id), ttl_s)


async def kill_one(
    client: subprocess.Popen[str], bridge: RemoteBridge, truth: Truth, rng: random.Random, number: signal.Signals
) -> dict[str, float | str]:
    """One trial: fly, kill, watch."""
    _, (north_m, east_m, _) = await truth.read()
    speed_m_s = rng.uniform(0.5, 1.5)
    # Homewards once it has come far enough; the nose stays north, so body axes are the world's.
    angle = math.atan2(-east_m, -north_m) if math.hypot(north_m, east_m) > FENCE_M else rng.uniform(-math.pi, math.pi)
    assert client.stdin is not None
    client.stdin.write(f"{speed_m_s * math.cos(angle)} {speed_m_s * math.sin(angle)}\n")
    client.stdin.flush()
    until_s = time.monotonic() + 20
    while (await truth.read())[0] < 0.8 * speed_m_s:
        if time.monotonic() > until_s:
            raise SystemExit("the client never flew")
        await asyncio.sleep(0.02)
    await asyncio.sleep(rng.uniform(0.0, 0.4))
    before_m_s, _ = await truth.read()
    killed_s = time.monotonic()
    client.send_signal(number)
    still_s, braking_m = await truth.still_after_s(killed_s)
    client.kill()
    client.wait(10)
    taken = await bridge.take_lease("drone", "benchmark", "the trial is over")
    await bridge.return_lease(taken.lease)
    return {
        "signal": number.name,
        "speed_m_s": round(before_m_s, 3),
        "still_s": round(still_s, 3),
        "braking_m": round(braking_m, 3),
    }


async def kill_many(address: str, truth: Truth, trials: int, seed: int) -> list[dict[str, float | str]]:
    """All trials; the next client starts while one flies."""
    bridge = await RemoteBridge.connect(address, wait_s=60)
    rng = random.Random(seed)
    lease = (await bridge.acquire_lease("drone", "benchmark")).lease
    await do(bridge, lease, Takeoff(10))  # above every tree of the meadow
    await bridge.return_lease(lease)
    results = []
    following = start_client(address)
    try:
        for trial in track(range(trials + trials // 10), description="killed in mid-flight"):
            client = following
            assert client.stdout is not None
            await asyncio.to_thread(client.stdout.readline)
            number = signal.SIGSTOP if trial % 11 == 10 else signal.SIGKILL
            results.append(await kill_one(client, bridge, truth, rng, number))
            following = start_client(address)
    finally:
        following.kill()
        following.wait(10)
        await bridge.close()
    return results


async def drift(address: str, truth: Truth, intervals: int) -> list[float]:
    """Metres from where it was when thinking began, at most, for each interval."""
    bridge = await RemoteBridge.connect(address, wait_s=60)
    lease = (await bridge.acquire_lease("drone", "benchmark")).lease
    farthest = []
    for turn in track(range(intervals), description="thinking"):
        await do(bridge, lease, Step(forward_m=1 if turn % 2 else -1))
        await bridge.begin_thinking(lease, THINKING_S)
        _, began = await truth.read()
        until_s, most_m = time.monotonic() + THINKING_S, 0.0
        while time.monotonic() < until_s:
            most_m = max(most_m, math.dist(began, (await truth.read())[1]))
            await bridge.retain_lease(lease)
            await asyncio.sleep(0.1)
        await bridge.end_thinking(lease)
        farthest.append(round(most_m, 3))
    await bridge.close()
    return farthest


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def summary(results: list[dict[str, float | str]], drifts: list[float]) -> dict[str, object]:
    """The figures of both parts."""
    figures: dict[str, object] = {}
    for name in ("SIGKILL", "SIGSTOP"):
        of = [result for result in results if result["signal"] == name]
        if not of:
            continue
        still_s = [float(result["still_s"]) for result in of]
        figures[name] = {
            "trials": len(of),
            f"still_within_{WITHIN_S}_s": sum(value <= WITHIN_S for value in still_s),
            "median_s": percentile(still_s, 0.5),
            "p95_s": percentile(still_s, 0.95),
            "worst_s": max(still_s),
            "speed_m_s": [min(float(r["speed_m_s"]) for r in of), max(float(r["speed_m_s"]) for r in of)],
            "braking_worst_m": max(float(result["braking_m"]) for result in of),
        }
    if drifts:
        figures["thinking"] = {
            "intervals": len(drifts),
            "drift_median_m": percentile(drifts, 0.5),
            "drift_worst_m": max(drifts),
            f"below_{MAX_DRIFT_M}_m": sum(value < MAX_DRIFT_M for value in drifts),
        }
    return figures


def main() -> None:
    """Start, kill, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--thinking", type=int, default=20, help="thinking intervals")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="JSON file for the figures")
    arguments = parser.parse_args()
    # Trials fly farther and faster than a way that no camera sees may be; the meadow is empty at this height.
    os.environ |= {"STILLWING_BRIDGE_MAX_UNSEEN_STEP_M": "10", "STILLWING_BRIDGE_MAX_UNSEEN_SPEED_M_S": "3"}
    with running_field() as field:
        truth = Truth(field.simulator)
        results = asyncio.run(kill_many(field.bridge, truth, arguments.trials, arguments.seed))
        drifts = asyncio.run(drift(field.bridge, truth, arguments.thinking)) if arguments.thinking else []
    report = {
        "hardware": hardware(),
        "load": round(os.getloadavg()[0], 1),
        "commit": commit(),
        "command": " ".join(["python", *sys.argv]),
        "figures": summary(results, drifts),
        "trials": results,
        "drifts_m": drifts,
    }
    print(json.dumps({name: report[name] for name in ("hardware", "load", "commit", "figures")}, indent=1))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
