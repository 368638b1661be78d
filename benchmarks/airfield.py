"""How fast airfield draws and simulates.

    python benchmarks/airfield.py [--seconds 5] [--json]

Two ratios matter: RGB+depth frames a second at 320x240 over the 20 that are wanted, with the simulation in real
time; and how many times faster than real time a flight runs when it is stepped, without images.
"""

import argparse
import json
import time

from stillwing_airfield.bench import measure
from stillwing_airfield.flight import tasks
from stillwing_airfield.flight.tasks import YawMode
from stillwing_airfield.sim import Airfield

_WANTED_PER_S = 20.0


def stepped_speed(simulated_s: float = 20.0) -> float:
    """Simulated seconds per real second of a flight without images."""
    with Airfield.of("meadow", 7) as airfield:
        airfield.do(lambda v: v.autopilot.enable_api_control(True))
        airfield.do(lambda v: v.autopilot.arm(True))
        airfield.fly(lambda v: tasks.takeoff(v, 20))
        airfield.begin(lambda v: tasks.move_by_velocity(v, (0.1, 0.0, 0.0), simulated_s, False, YawMode(True, 20)))
        began_s = time.perf_counter()
        airfield.advance(simulated_s)
        return simulated_s / (time.perf_counter() - began_s)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with Airfield.of("meadow", 7) as airfield:
        airfield.start()
        drawing = measure(airfield, options.seconds)
    found = {
        **drawing.as_dict(),
        "of_wanted": drawing.frames_per_s / _WANTED_PER_S,
        "stepped_times_real_time": stepped_speed(),
    }
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(drawing)
    print(f"that is {found['of_wanted']:.1f} times the {_WANTED_PER_S:.0f} a second that are wanted")
    print(f"stepped, without images, a flight runs {found['stepped_times_real_time']:.0f} times as fast as real time")


if __name__ == "__main__":
    main()
