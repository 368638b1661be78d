"""python tests/support/run_tests.py [nightly] [--seed N] [--summary FILE]

All that CI runs, as jobs: the tests on a few workers beside `make check` and the jobs that need an environment of their
own, then, one for each core and beside nothing else, the tests that promise a time. Fails if any job does; prints each
job's output whole.

`nightly` takes every test at its full size and the fuzzers' million inputs as well, and writes a page on it to
`--summary`.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cached_installs import triton_folder
from run_summary import write_summary

ROOT = Path(__file__).resolve().parents[2]

WITHOUT_AVX_512 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
"""Torch and its libraries then take the path of older processors, and the engine with them."""

EXACT = (
    *(f"tests/unit/vlm/test_vlm_{name}.py" for name in ("exactness", "families", "gate", "int8", "kv_fp8", "model")),
    *(f"tests/unit/vlm/test_vlm_{name}.py" for name in ("pooled", "precision", "static_step")),
    "tests/e2e/test_pilot_in_the_engine.py",
)
"""Tests whose tolerances are those of float32 sums, which each path of a processor adds up in an order of its own."""


@dataclass(frozen=True, slots=True)
class Job:
    """One command; a name that ends a file's name too."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended, and what it said unless that was shown while it ran."""

    name: str
    code: int
    elapsed_s: float
    said: str = ""


def cores() -> int:
    """Of this machine, as far as this process may use them."""
    return len(os.sched_getaffinity(0))


def workers() -> int:
    """Processes that run tests: they wait as much as they compute, and each holds a gigabyte."""
    return min(6, cores() + 1)


def timed_modules() -> list[str]:
    """Those that hold tests marked `serial`: to collect all others takes longer than to run some of these."""
    marked = [path for path in (ROOT / "tests").rglob("test_*.py") if "mark.serial" in path.read_text(encoding="utf-8")]
    return [str(path.relative_to(ROOT)) for path in sorted(marked)]


def has_avx_512() -> bool:
    """Whether there is another path to be forced."""
    cpu = Path("/proc/cpuinfo")
    return cpu.exists() and "avx512f" in cpu.read_text()


class Runner:
    """Starts jobs, and ends those that run if it is interrupted."""

    def __init__(self, folder: Path, seed: int, environment: Mapping[str, str]) -> None:
        """`folder` gets a JUnit file for each job of pytest; all of them draw from `seed`."""
        self._folder = folder
        self._seed = seed
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        self._running: set[subprocess.Popen[bytes]] = set()
        self._interrupted = False
        self.outcomes: list[Outcome] = []

    def pytest(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Job:
        """A job of pytest."""
        command = [sys.executable, "-m", "pytest", f"--junitxml={self._folder / name}.xml"]
        command += [f"--hypothesis-seed={self._seed}", *arguments]
        return Job(name, command, environment or {})

    def run(self, shown: Job, beside: Sequence[Job] = ()) -> None:
        """Run a job whose output is seen as it comes and, beside it, others, one after another."""
        thread = threading.Thread(target=lambda: [self._run(job, shown=False) for job in beside])
        thread.start()
        try:
            self._run(shown, shown=True)
        except KeyboardInterrupt:
            self._interrupt()
            raise
        finally:
            thread.join()

    def _run(self, job: Job, *, shown: bool) -> None:
        if self._interrupted:
            return
        began_s = time.monotonic()
        with tempfile.TemporaryFile() as file:
            process = subprocess.Popen(
                job.command,
                cwd=ROOT,
                env={**self._environment, **job.environment},
                stdin=subprocess.DEVNULL,
                stdout=None if shown else file,
                stderr=None if shown else subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.add(process)
            if self._interrupted:  # while it was being started
                os.killpg(process.pid, signal.SIGTERM)
            code = process.wait()
            self._running.discard(process)
            file.seek(0)
            said = file.read().decode(errors="replace")
        self.outcomes.append(Outcome(job.name, code, time.monotonic() - began_s, said))
        if not shown:
            print(f"\n[{job.name}: {_result(code)}; its output follows at the end]", flush=True)

    def _interrupt(self) -> None:
        """End what runs, with all that it started."""
        self._interrupted = True
        for process in list(self._running):
            os.killpg(process.pid, signal.SIGTERM)


def main() -> int:
    """Run the jobs; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", nargs="?", default="ci", choices=("ci", "nightly"))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="of an earlier run")
    parser.add_argument("--summary", type=Path, help="where the page on the run is written")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="stillwing-tests-") as folder:
        runner = Runner(Path(folder), arguments.seed, {"STILLWING_TEST_PROFILE": arguments.profile})
        run_all(runner, nightly=arguments.profile == "nightly")
        tell(runner.outcomes)
        if arguments.summary:
            write_summary(arguments.summary, arguments.profile, arguments.seed, runner.outcomes, Path(folder))
    return int(any(outcome.code for outcome in runner.outcomes))


def run_all(runner: Runner, *, nightly: bool) -> None:
    """Every job, those that disturb none beside each other."""
    kernels = {"PYTHONPATH": str(triton_folder()), "TRITON_INTERPRET": "1"}
    whole = ("--dist", "loadgroup", "--no-loadscope-reorder")
    side = [
        Job("check", ["make", "--no-print-directory", "check"]),
        runner.pytest("kernels", "--need", "triton", "-m", "triton", "tests/unit/vlm", environment=kernels),
    ]
    if has_avx_512():
        side.append(
            runner.pytest("without-avx-512", "-m", "not triton and not serial", *EXACT, environment=WITHOUT_AVX_512)
        )
    if nightly:
        side.append(Job("fuzz", [sys.executable, "tests/fuzz/run.py", "--inputs", "1000000"]))
    runner.run(runner.pytest("tests", "-n", str(workers()), *whole, "-m", "not serial"), beside=side)
    # They wait most of the time: two on two cores leave three quarters of them idle.
    runner.run(runner.pytest("serial", "-n", str(min(6, cores())), *whole, "-m", "serial", *timed_modules()))


def tell(outcomes: Sequence[Outcome]) -> None:
    """What was not seen while it ran, failures last, then a line for each job."""
    for outcome in sorted(outcomes, key=lambda each: each.code != 0):
        if outcome.said:
            print(f"\n======== {outcome.name} ========\n{outcome.said}")
    print("\njob               seconds  result")
    for outcome in outcomes:
        print(f"{outcome.name:<16} {outcome.elapsed_s:>8.0f}  {_result(outcome.code)}")
    sys.stdout.flush()


def _result(code: int) -> str:
    return "FAILED" if code else "passed"


if __name__ == "__main__":
    sys.exit(main())
