"""How fast airfield draws and simulates, beside what is wanted of it.

    python benchmarks/airfield.py [--seconds 5] [--scene meadow] [--json] [--out FILE]

Live, RGB+depth frames a second with physics at 200 Hz in real time, drawn in this process and taken over the wire from
one of its own; stepped, how many times faster than real time a flight runs, with 15 such frames a simulated second and
without any. Every figure stands beside what is wanted, as a ratio. Several rounds are measured in turn and the median
told, because other programs disturb one round more than another.
"""

import argparse
import json
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from stillwing_airfield.bench import measure
from stillwing_airfield.flight import motions
from stillwing_airfield.flight.path import YawMode
from stillwing_airfield.rendering import Optics
from stillwing_airfield.sim import Airfield
from stillwing_common.conditions import hardware

_LARGE, _SMALL = (640, 480), (320, 240)
_KINDS = ("scene", "depth")
_STEPPED_FRAMES_PER_S = 15
_REQUESTS = [
    {"camera_name": "0", "image_type": 0, "pixels_as_float": False, "compress": False},
    {"camera_name": "0", "image_type": 1, "pixels_as_float": True, "compress": False},
]


def live(scene: str, size: tuple[int, int], seconds: float) -> tuple[float, float]:
    """Frames a second, and the share of real time that the simulation kept meanwhile."""
    with Airfield.of(scene, 7, Optics(*size)) as airfield:
        airfield.start()
        found = measure(airfield, seconds)
        return found.frames_per_s, found.real_time_factor


def stepped(scene: str, frames_per_s: float, simulated_s: float) -> float:
    """Simulated seconds per real second of a flight with so many RGB+depth frames at 320x240 a simulated second."""
    with Airfield.of(scene, 7, Optics(*_SMALL)) as airfield:
        airfield.do(lambda v: v.autopilot.enable_api_control(True))
        airfield.do(lambda v: v.autopilot.arm(True))
        airfield.fly(lambda v: motions.takeoff(v, 20))
        airfield.begin(lambda v: motions.move_by_velocity(v, (0.1, 0.0, 0.0), 1e6, False, YawMode(True, 20)))
        airfield.capture(kinds=_KINDS)
        began_s, began_ns = time.perf_counter(), airfield.time_ns
        while airfield.time_ns - began_ns < simulated_s * 1e9:
            airfield.advance(1 / (frames_per_s or 1.0))
            if frames_per_s:
                airfield.capture(kinds=_KINDS)
        return (airfield.time_ns - began_ns) * 1e-9 / (time.perf_counter() - began_s)


def over_the_wire(scene: str, seconds: float) -> float:
    """RGB (raw) and depth (float) pairs a second at 640x480 that one client gets from a process of its own."""
    command = [sys.executable, "-u", "-m", "stillwing_airfield", "--scene", scene, "--seed", "7", "--port", "0"]
    size = ["--width", str(_LARGE[0]), "--height", str(_LARGE[1])]
    with subprocess.Popen([*command, *size], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            port = next(int(found[1]) for line in server.stdout if (found := re.search(r"listening on .*:(\d+)", line)))
            with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
                call = _caller(link)
                call()
                began_s, count = time.perf_counter(), 0
                while time.perf_counter() - began_s < seconds:
                    call()
                    count += 1
                return count / (time.perf_counter() - began_s)
        finally:
            server.terminate()


def _caller(link: socket.socket) -> Callable[[], None]:
    """A call for both images that reads the answer to its end without making Python objects of every pixel."""
    request = msgpack.packb([0, 1, "simGetImages", [_REQUESTS, "", False]])
    unpacker = msgpack.Unpacker(max_buffer_size=1 << 28)

    def call() -> None:
        link.sendall(request)
        while True:
            unpacker.feed(link.recv(1 << 20))
            try:
                unpacker.skip()
            except msgpack.OutOfData:
                continue
            return

    return call


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each live measurement, all rounds together")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scene", default="meadow")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=None, help="JSON file for the figures")
    options = parser.parse_args()
    scene, each_s = options.scene, options.seconds / options.rounds
    real_time: list[float] = []

    def drawn(size: tuple[int, int]) -> float:
        frames_per_s, factor = live(scene, size, each_s)
        real_time.append(factor)
        return frames_per_s

    wanted: dict[str, tuple[float, Callable[[], float]]] = {
        "RGB+depth at 640x480, live, frames/s": (15.0, lambda: drawn(_LARGE)),
        "RGB+depth at 640x480, over the wire, frames/s": (15.0, lambda: over_the_wire(scene, each_s)),
        "RGB+depth at 320x240, live, frames/s": (20.0, lambda: drawn(_SMALL)),
        "stepped at 320x240 with 15 frames/s, times real time": (
            3.0,
            lambda: stepped(scene, _STEPPED_FRAMES_PER_S, 4 * each_s),
        ),
        "stepped without frames, times real time": (3.0, lambda: stepped(scene, 0, 8 * each_s)),
    }
    took: dict[str, list[float]] = {name: [] for name in wanted}
    with Progress(console=Console(stderr=True), transient=True) as bar:
        measuring = bar.add_task("measuring", total=options.rounds * len(wanted))
        for _ in range(options.rounds):
            for name, (_, one) in wanted.items():
                took[name].append(one())
                bar.advance(measuring)
    figures = {name: statistics.median(values) for name, values in took.items()}
    found: dict[str, Any] = {
        "scene": scene,
        "figures": figures,
        "wanted": {name: least for name, (least, _) in wanted.items()},
        "of_wanted": {name: figures[name] / least for name, (least, _) in wanted.items()},
        "simulation_of_real_time_while_live": min(real_time),
        "rounds": took,
        "hardware": hardware(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python benchmarks/airfield.py " + " ".join(sys.argv[1:]),
    }
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(found, indent=1))
        return
    table = Table("figure", "measured", "wanted", "ratio", title=f"airfield, scene {scene}; {hardware()}")
    for name, least in found["wanted"].items():
        table.add_row(name, f"{figures[name]:.1f}", f"{least:.0f}", f"{figures[name] / least:.1f}")
    console = Console()
    console.print(table)
    console.print(f"physics at 200 Hz kept {min(real_time):.2f} of real time while drawing, in the worst round")
    console.print("Next: airfield bench   (one measurement on your own scene and size)")


if __name__ == "__main__":
    main()
