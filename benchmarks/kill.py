"""How soon a vehicle stands still once a process is killed or frozen.

    python benchmarks/kill.py [--trials 200] [--only author,bridge] [--out results/kill.json]

Every process, both signals, every motion: in each trial one of them flies, and a process is ended by SIGKILL or frozen
by SIGSTOP in mid-flight; then the truth is read from the simulator, past the bridge, until the vehicle has been slower
than 0.1 m/s and has turned slower than 6 degrees a second for half a second. What was frozen is woken again, and must
move nothing.

`author` is a client of the bridge in its own process, up to 3 m/s fast; it and the bridge are killed in flights of its.
Agent, engine and memory bank are killed in missions, whose engine answers always the same. Neither engine nor memory
bank is the author of a motion: after theirs it ends as it would have, or with the mission (`ends by itself`).

Then the drift while an author thinks. `--out` adds the trials to those
of the same commit that the file has already, so that a long matrix can be measured in parts.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import math
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import track

from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.types import MissionRequest
from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.commands import Step
from stillwing_bridge.core.types import PROMISED_STILL_S, STILL_M_S
from stillwing_bridge.core.vehicles.airsim.transport import Transport
from stillwing_common.conditions import commit, hardware
from stillwing_common.errors import StillwingError
from stillwing_common.ids import new_id

SUPPORT = Path(__file__).resolve().parents[1] / "tests" / "support"
MOTIONS = ("takeoff", "translation", "turn", "land")
SIGNALS = (signal.SIGKILL, signal.SIGSTOP)
FLOWN_DIRECTLY = ("author", "bridge")
FLOWN_IN_MISSIONS = ("agent", "engine", "memory_bank")
ANSWERS = {
    "takeoff": '{"name":"move","arguments":{"direction":"forward","distance_m":1}}',
    "translation": '{"name":"move","arguments":{"direction":"forward","distance_m":1}}',
    "turn": '{"name":"turn","arguments":{"direction":"left","angle_deg":15}}',
    "land": '{"name":"land","arguments":{}}',
}
STILL_RAD_S = 0.1
MOVES = {"takeoff": 0.3, "translation": 0.25, "turn": 0.3, "land": 0.3}
HEIGHT_M = 12.0
THINKING_S = 3.0

# Waits for a line on stdin, so that its start costs no trial anything; then flies until it is killed.
AUTHOR = """
import asyncio, sys
from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.commands import Land, Step, Takeoff, Turn

async def main():
    bridge = await RemoteBridge.connect(sys.argv[1])
    print("ready", flush=True)
    motion, forward, right, speed = (await asyncio.to_thread(sys.stdin.readline)).split()
    lease = (await bridge.take_lease("drone", "author", "to be killed")).lease
    frame = await bridge.capture_frame("drone")
    step = Step(forward_m=float(forward), right_m=float(right), speed_m_s=float(speed))
    command = {"takeoff": Takeoff(12), "translation": step, "turn": Turn(170), "land": Land()}[motion]
    await bridge.wait_command(await bridge.command(lease, command, ttl_s=60, based_on_frame_id=frame.frame_id), 60)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Stack:
    """The processes of one run, each on a port of its own that it keeps over a restart."""

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(
        default_factory=lambda: {name: free_port() for name in ("airfield", "bridge", *FLOWN_IN_MISSIONS)}
    )

    def at(self, name: str) -> str:
        """Its address."""
        return f"127.0.0.1:{self.ports[name]}"

    def start(self, name: str, answer: str = "") -> None:
        """Start one; does not wait until it serves."""
        port = str(self.ports[name])
        command = {
            "airfield": ["-m", "stillwing_airfield", "--port", port, "--seed", "3"],
            "bridge": ["-m", "stillwing_bridge", "--port", port, "--simulator", self.at("airfield")],
            "memory_bank": ["-m", "stillwing_memory", "--port", port, "--folder", str(self.folder / "bank")],
            "engine": [str(SUPPORT / "scripted_engine.py"), port, answer],
            "agent": [
                "-m", "stillwing_agent", "--port", port, "--bridge", self.at("bridge"), "--engine", self.at("engine"),
                "--memory", self.at("memory_bank"),
            ],
        }[name]  # fmt: skip
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)

    def end(self, name: str) -> None:
        """End one, if it runs."""
        process = self.running.pop(name, None)
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


@contextlib.contextmanager
def running_stack() -> Iterator[Stack]:
    """Airfield and a bridge; whatever else is started ends with the block."""
    with tempfile.TemporaryDirectory(prefix="swk-") as folder:
        stack = Stack(Path(folder))
        try:
            stack.start("airfield")
            stack.start("bridge")
            yield stack
        finally:
            for name in ("agent", "memory_bank", "engine", "bridge", "airfield"):
                stack.end(name)


class Truth:
    """The simulator itself, past the bridge: where the vehicle is, how it moves, and another place for it."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        until_s = time.monotonic() + 60
        while True:
            try:
                self._transport = Transport.open(host, int(port), timeout_s=5, name="truth")
                return
            except StillwingError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.2)

    async def call(self, method: str, *params: object, timeout_s: float = 30) -> Any:
        """One call of AirSim's."""
        return await self._transport.call(method, *params, timeout_s=timeout_s)

    async def read(self) -> tuple[float, float, tuple[float, float, float]]:
        """Speed in m/s, rate of turn in rad/s, position in NED metres."""
        kinematics = await self.call("simGetGroundTruthKinematics", "")
        where = kinematics["position"]
        turn_rad_s = abs(kinematics["angular_velocity"]["z_val"])
        speed_m_s = math.hypot(*kinematics["linear_velocity"].values())
        return speed_m_s, turn_rad_s, (where["x_val"], where["y_val"], where["z_val"])

    async def moves(self) -> bool:
        """Whether it is not still at this moment."""
        speed_m_s, turn_rad_s, _ = await self.read()
        return speed_m_s >= STILL_M_S or turn_rad_s >= STILL_RAD_S

    async def still_after_s(self, since_s: float, for_s: float) -> float:
        """Seconds from `since_s` until it is still, and stays so `for_s`."""
        still_since_s = since_s
        while time.monotonic() - still_since_s < for_s:
            if await self.moves():
                still_since_s = time.monotonic()
            if time.monotonic() - since_s > 40:
                break
            await asyncio.sleep(0.01)
        return still_since_s - since_s

    async def place(self, motion: str) -> None:
        """On the ground for a takeoff, else high above every tree, hovering."""
        if motion == "takeoff":
            await self.call("reset")
        else:
            if not (await self.call("getMultirotorState", ""))["landed_state"]:
                await self.call("enableApiControl", True, "")
                await self.call("armDisarm", True, "")
                await self.call("takeoff", 20.0, "")
            where = {"x_val": 0.0, "y_val": 0.0, "z_val": -HEIGHT_M}
            level = {"w_val": 1.0, "x_val": 0.0, "y_val": 0.0, "z_val": 0.0}
            await self.call("simSetVehiclePose", {"position": where, "orientation": level}, True, "")
        await asyncio.sleep(0.4)  # the bridge sees another world

    async def under_way(self, motion: str, least_m_s: float) -> None:
        """Until it moves as fast as that, or turns as fast in rad/s."""
        until_s = time.monotonic() + 40
        while max((await self.read())[:2]) < least_m_s:
            if time.monotonic() > until_s:
                raise SystemExit(f"no {motion} was ever flown")
            await asyncio.sleep(0.02)


@dataclass
class Trials:
    """Flies, kills and watches; one trial after another on one stack."""

    stack: Stack
    truth: Truth
    rng: random.Random
    author: subprocess.Popen[str] | None = None

    async def fly(self, process: str, number: signal.Signals, motion: str) -> dict[str, object]:
        """One trial; everything runs again afterwards."""
        await self.truth.place(motion)
        if process in FLOWN_DIRECTLY:
            fastest_m_s = await self._author_flies(motion)
        else:
            fastest_m_s = await self._mission_flies(motion)
        await self.truth.under_way(motion, fastest_m_s)
        late_s = {"takeoff": 3.0, "land": 3.0}.get(motion, 0.3) if process in FLOWN_DIRECTLY else 0.3
        await asyncio.sleep(self.rng.uniform(0.0, late_s))
        speed_m_s, turn_rad_s, _ = await self.truth.read()
        killed = self.author if process == "author" else self.stack.running[process]
        assert killed is not None
        killed_s = time.monotonic()
        killed.send_signal(number)
        still_s = await self.truth.still_after_s(killed_s, 0.15 if process in ("engine", "memory_bank") else 0.5)
        woken_m_s = await self._wake(killed) if number is signal.SIGSTOP and process in ("author", "bridge") else None
        await self._restore(process, number)
        return {
            "process": process,
            "signal": number.name,
            "motion": motion,
            "speed_m_s": round(speed_m_s, 3),
            "turn_rad_s": round(turn_rad_s, 3),
            "still_s": round(still_s, 3),
            "fastest_after_waking_m_s": woken_m_s,
        }

    async def _author_flies(self, motion: str) -> float:
        author = self.author or start_author(self.stack.at("bridge"))
        self.author = author
        assert author.stdin is not None
        assert author.stdout is not None
        await asyncio.to_thread(author.stdout.readline)
        speed_m_s, angle = self.rng.uniform(0.5, 3.0), self.rng.uniform(-math.pi, math.pi)
        author.stdin.write(f"{motion} {9.9 * math.cos(angle)} {9.9 * math.sin(angle)} {speed_m_s}\n")
        author.stdin.flush()
        return 0.9 * speed_m_s if motion == "translation" else MOVES[motion]

    async def _mission_flies(self, motion: str) -> float:
        for name in FLOWN_IN_MISSIONS:
            if name not in self.stack.running:
                self.stack.start(name, ANSWERS[motion])
        agent = await RemoteAgent.connect(self.stack.at("agent"), wait_s=60)
        # The first mission after a restart may come before the engine and the bank serve, or the old lease is stale.
        for attempt in itertools.count():
            try:
                await agent.start_mission(MissionRequest(new_id("req"), "Fly on.", "drone", 120.0))
                break
            except StillwingError:
                if attempt == 20:
                    raise
                await asyncio.sleep(0.5)
        await agent.close()
        return MOVES[motion]

    async def _wake(self, frozen: subprocess.Popen[Any]) -> float:
        await asyncio.sleep(self.rng.uniform(0.0, 2.0))
        frozen.send_signal(signal.SIGCONT)
        fastest_m_s, until_s = 0.0, time.monotonic() + 1.5
        while time.monotonic() < until_s:
            fastest_m_s = max(fastest_m_s, (await self.truth.read())[0])
            await asyncio.sleep(0.01)
        return round(fastest_m_s, 3)

    async def _restore(self, process: str, number: signal.Signals) -> None:
        if process in FLOWN_DIRECTLY:
            assert self.author is not None
            self.author.kill()
            self.author.wait(10)
            self.author = None
        else:
            # Another agent, because a mission may go on, and another engine for another answer.
            for name in {process, "agent", "engine"}:
                self.stack.end(name)
        if process == "bridge" and number is signal.SIGKILL:
            self.stack.end("bridge")
            self.stack.start("bridge")
        bridge = await RemoteBridge.connect(self.stack.at("bridge"), wait_s=60)
        taken = await bridge.take_lease("drone", "benchmark", "the trial is over")
        await bridge.return_lease(taken.lease)
        await bridge.close()
        if process in FLOWN_DIRECTLY:
            self.author = start_author(self.stack.at("bridge"))


def start_author(address: str) -> subprocess.Popen[str]:
    """A client that is ready to fly."""
    command = [sys.executable, "-c", AUTHOR, address]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


async def kill_many(
    stack: Stack, truth: Truth, cells: list[tuple[str, signal.Signals, str]], seed: int, minutes: float
) -> list[dict[str, object]]:
    """As many trials as there are cells, or as fit into the time."""
    trials = Trials(stack, truth, random.Random(seed))
    await (await RemoteBridge.connect(stack.at("bridge"), wait_s=60)).close()
    until_s = time.monotonic() + 60 * minutes
    flown: list[dict[str, object]] = []
    try:
        for cell in track(cells, description="killed in mid-flight"):
            if time.monotonic() > until_s:
                break
            flown.append(await trials.fly(*cell))
        return flown
    finally:
        if trials.author is not None:
            trials.author.kill()
            trials.author.wait(10)


async def drift(address: str, truth: Truth, intervals: int) -> list[float]:
    """Metres from where it was when thinking began, at most, for each interval."""
    await truth.place("translation")
    bridge = await RemoteBridge.connect(address, wait_s=60)
    lease = (await bridge.acquire_lease("drone", "benchmark")).lease
    farthest = []
    for turn in track(range(intervals), description="thinking"):
        frame_id = (await bridge.capture_frame("drone")).frame_id
        step = Step(forward_m=1 if turn % 2 else -1)
        await bridge.wait_command(await bridge.command(lease, step, ttl_s=30, based_on_frame_id=frame_id), 30)
        await bridge.begin_thinking(lease, THINKING_S)
        began = (await truth.read())[2]
        until_s, most_m = time.monotonic() + THINKING_S, 0.0
        while time.monotonic() < until_s:
            most_m = max(most_m, math.dist(began, (await truth.read())[2]))
            await bridge.retain_lease(lease)
            await asyncio.sleep(0.1)
        await bridge.end_thinking(lease)
        farthest.append(round(most_m, 3))
    await bridge.return_lease(lease)
    await bridge.close()
    return farthest


def summary(trials: list[dict[str, Any]], drifts: list[float]) -> dict[str, object]:
    """The figures of all parts."""
    cells: dict[str, object] = {}
    for process, number, motion in itertools.product((*FLOWN_DIRECTLY, *FLOWN_IN_MISSIONS), SIGNALS, MOTIONS):
        of = [t for t in trials if (t["process"], t["signal"], t["motion"]) == (process, number.name, motion)]
        if of:
            still_s = [trial["still_s"] for trial in of]
            cells[f"{process} {number.name} {motion}"] = {
                "trials": len(of),
                "median_s": round(statistics.median(still_s), 3),
                "worst_s": max(still_s),
                f"within_{PROMISED_STILL_S}_s": sum(value <= PROMISED_STILL_S for value in still_s),
                "fastest_m_s": max(trial["speed_m_s"] for trial in of),
            }
    woken = [trial["fastest_after_waking_m_s"] for trial in trials if trial["fastest_after_waking_m_s"] is not None]
    figures: dict[str, object] = {"trials": len(trials), "cells": cells}
    if woken:
        figures["woken"] = {"trials": len(woken), "fastest_m_s": max(woken)}
    if drifts:
        figures["thinking"] = {
            "intervals": len(drifts),
            "drift_median_m": statistics.median(drifts),
            "drift_worst_m": max(drifts),
        }
    return figures


def main() -> None:
    """Start, kill, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200, help="of all cells together")
    parser.add_argument("--minutes", type=float, default=60, help="no trial begins later")
    parser.add_argument("--only", default=",".join((*FLOWN_DIRECTLY, *FLOWN_IN_MISSIONS)), help="processes to kill")
    parser.add_argument("--thinking", type=int, default=20, help="thinking intervals")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="JSON file for the figures")
    arguments = parser.parse_args()
    processes = arguments.only.split(",") if arguments.only else []
    every = list(itertools.product(processes, SIGNALS, MOTIONS))
    random.Random(arguments.seed).shuffle(every)
    cells = list(itertools.islice(itertools.cycle(every), arguments.trials))
    # Trials fly farther and faster than a way that no camera sees may be; nothing stands at this height.
    os.environ |= {"STILLWING_BRIDGE_MAX_UNSEEN_STEP_M": "10", "STILLWING_BRIDGE_MAX_UNSEEN_SPEED_M_S": "3"}
    with running_stack() as stack:
        truth = Truth(stack.at("airfield"))
        trials = asyncio.run(kill_many(stack, truth, cells, arguments.seed, arguments.minutes))
        drifts = asyncio.run(drift(stack.at("bridge"), truth, arguments.thinking)) if arguments.thinking else []
    run = {
        "command": " ".join(["python", *sys.argv]),
        "load": round(os.getloadavg()[0], 1),
        "commit": commit(),
        "trials": trials,
        "drifts_m": drifts,
    }
    runs = [run]
    if arguments.out is not None and arguments.out.exists():
        before = json.loads(arguments.out.read_text(encoding="utf-8"))
        runs = [*(one for one in before.get("runs", ()) if one["commit"] == run["commit"]), run]
    report = {
        "hardware": hardware(),
        "figures": summary(
            [trial for one in runs for trial in one["trials"]],
            [drift_m for one in runs for drift_m in one["drifts_m"]],
        ),
        "runs": runs,
    }
    print(json.dumps({name: report[name] for name in ("hardware", "figures")}, indent=1))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
