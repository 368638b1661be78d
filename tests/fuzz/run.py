"""python tests/fuzz/run.py [--inputs 1000000] [--target NAME] [--json FILE]

Feeds inputs to every target, led by coverage (atheris), each in a process of its own at low priority. Fails on any
exception, on an input that takes more than 10 seconds, and on memory that goes on growing. What broke a target is left
in .fuzz/ and shown with the command that runs it again. Inputs that reached new code are kept there too and used by the
next run.
"""

import argparse
import contextlib
import gc
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

FOLDER = Path(".fuzz")
INPUT_LIMIT_S = 10
MEMORY_LIMIT_MB = 3000
GROWTH_LIMIT_MB = 48
LONGEST_INPUT = 2048
_SHARE_OF_WARMING_UP = 0.25
_TOPPED_UP = "vehicle_messages"
"""Fed what is missing to the number of inputs wanted, where others passed fewer than their share: most of its do."""
_COUNT = re.compile(r"^#(\d+)\t")


def child(name: str, runs: int, seed: int, replayed: str) -> None:
    """One target in this process; ends it."""
    import atheris

    with atheris.instrument_imports(include=[]):
        import targets
    make, _, modules = targets.TARGETS[name]
    with atheris.instrument_imports(include=list(modules)):
        import importlib

        for module in modules:
            importlib.import_module(module)
    # Never cleaned up: the fuzzer ends the process itself.
    stack = contextlib.ExitStack()
    target = make(stack)
    if replayed:
        target(Path(replayed).read_bytes())
        return
    memory = Memory(runs)

    passed = 0

    def one(data: bytes) -> None:
        nonlocal passed
        passed += target(data)
        if memory.note():
            print(f"passed {passed}", file=sys.stderr, flush=True)

    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [
            sys.argv[0], f"-runs={runs}", f"-seed={seed}", f"-timeout={INPUT_LIMIT_S}",
            f"-rss_limit_mb={MEMORY_LIMIT_MB}", f"-max_len={LONGEST_INPUT}", f"-artifact_prefix={FOLDER}/{name}-",
            str(corpus),
        ],
        one,
    )  # fmt: skip
    atheris.Fuzz()


class Memory:
    """Watches this process's memory: a quarter of the inputs may fill caches, the rest must add next to nothing."""

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._count = 0
        self._warm_mb = 0.0

    def note(self) -> bool:
        """Count one input; whether it was the last."""
        self._count += 1
        if self._count == round(self._runs * _SHARE_OF_WARMING_UP):
            self._warm_mb = self._held_mb()
        elif self._count == self._runs:
            held_mb = self._held_mb()
            print(f"memory {self._warm_mb:.1f} -> {held_mb:.1f} MB", file=sys.stderr, flush=True)
            if held_mb - self._warm_mb > GROWTH_LIMIT_MB:
                raise MemoryError(f"memory grew from {self._warm_mb:.1f} to {held_mb:.1f} MB")
        return self._count == self._runs

    @staticmethod
    def _held_mb() -> float:
        import psutil

        gc.collect()
        return float(psutil.Process().memory_info().rss) / 1e6


def main() -> int:
    """The exit code: 0 if nothing broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="inputs in all that get past the first parse")
    parser.add_argument("--target", default="", help="this one alone")
    parser.add_argument("--seed", type=int, default=0, help="0 takes another each time")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--replay", default="", help="with --target: run this input alone")
    given = parser.parse_args()
    if given.child:
        child(given.child, given.runs, given.seed, given.replay)
        return 0
    return parent(given.inputs, given.target, given.seed, given.json, given.replay)


def parent(inputs: int, only: str, seed: int, figures: Path | None, replayed: str) -> int:
    """Run the targets one after the other, with a bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from targets import TARGETS

    console = Console(highlight=False)
    if only and only not in TARGETS:
        console.print(f"no target is called {only}; there are {', '.join(TARGETS)}", style="red")
        return 2
    try:
        import atheris  # noqa: F401
    except ModuleNotFoundError:
        console.print("fuzzing led by coverage needs atheris, which has wheels for Linux: pip install 'atheris>=3'")
        return 2
    if replayed:
        return subprocess.call([sys.executable, __file__, "--child", only, "--replay", replayed])
    chosen = {only: 1.0} if only else {name: share for name, (_, share, _) in TARGETS.items()}
    total = sum(chosen.values())
    results, began_s = [], time.monotonic()
    FOLDER.mkdir(exist_ok=True)
    columns = (TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for name, share in chosen.items():
            runs = max(1, round(inputs * share / total))
            task = progress.add_task(name, total=runs)
            result = run_until(name, runs, seed, lambda n, task=task: progress.update(task, completed=n))  # type: ignore[misc]
            results.append(result)
            progress.update(task, completed=result["passed"])
            if result["fault"]:
                progress.console.print(f"{name}: {result['fault']}", style="red", markup=False)
    missing = inputs - sum(int(each["passed"]) for each in results)
    if missing > 0 and not only and not any(each["fault"] for each in results):
        at = list(chosen).index(_TOPPED_UP)
        results[at] = added(results[at], run_until(_TOPPED_UP, missing, seed, lambda n: None))
    done = sum(int(each["inputs"]) for each in results)
    bad = [each for each in results if each["fault"]]
    elapsed_s = time.monotonic() - began_s
    passed = sum(int(each["passed"]) for each in results)
    console.print(f"{done} inputs, {passed} of them past the first parse, in {elapsed_s:.0f} s")
    console.print(f"{len(bad)} of {len(results)} targets broke")
    for each in results:
        counts = f"{each['inputs']:>8} inputs {each['passed']:>8} passed"
        console.print(f"  {each['target']:<20} {counts}   {each['memory']}", markup=False)
    if figures:
        told = {"inputs": done, "passed": passed, "elapsed_s": round(elapsed_s, 1), "targets": results}
        figures.write_text(json.dumps(told, indent=2) + "\n")
    for each in bad:
        console.print(f"Next: python tests/fuzz/run.py --target {each['target']} --replay {each['artifact'] or '…'}")
    return 1 if bad else 0


def run_until(name: str, wanted: int, seed: int, on_count) -> dict[str, object]:  # type: ignore[no-untyped-def]
    """One target until `wanted` inputs got past its first parse, or in two runs of at most three times as many inputs:
    of some, few ever pass.
    """
    first = run_one(name, wanted, seed or time.time_ns() % (1 << 31), on_count)
    inputs, passed = int(str(first["inputs"])), int(str(first["passed"]))
    if first["fault"] or passed >= wanted:
        return first
    runs = min(2 * wanted, round((wanted - passed) * inputs / max(1, passed) * 1.2) + 500)
    second = run_one(name, runs, seed or time.time_ns() % (1 << 31), lambda n: on_count(passed + n))
    return added(first, second)


def added(first: dict[str, object], second: dict[str, object]) -> dict[str, object]:
    """Two runs of one target as one."""
    sums = {key: int(str(first[key])) + int(str(second[key])) for key in ("inputs", "passed")}
    elapsed_s = round(float(str(first["elapsed_s"])) + float(str(second["elapsed_s"])), 1)
    return {**second, **sums, "elapsed_s": elapsed_s}


def run_one(name: str, runs: int, seed: int, on_count) -> dict[str, object]:  # type: ignore[no-untyped-def]
    """One target to its end."""
    command = [sys.executable, __file__, "--child", name, "--runs", str(runs), "--seed", str(seed)]
    if sys.platform != "win32":
        command = ["nice", "-n", "10", *command]
    log = FOLDER / f"{name}.log"
    began_s, count, passed, memory = time.monotonic(), 0, 0, ""
    with (
        log.open("w", encoding="utf-8", errors="replace") as lines,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=os.environ
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            lines.write(line)
            if found := _COUNT.match(line):
                count = int(found[1])
                on_count(min(count, runs))
            elif line.startswith("memory "):
                memory = line.strip()
            elif line.startswith("passed "):
                passed = int(line.split()[1])
    text = log.read_text(encoding="utf-8", errors="replace")
    fault, artifact = "", ""
    if process.returncode != 0:
        fault = f"exit code {process.returncode}\n" + "\n".join(text.splitlines()[-25:])
        written = re.search(r"Test unit written to (\S+)", text)
        artifact = written[1] if written else ""
    done = re.search(r"Done (\d+) runs", text)
    return {
        "target": name,
        "inputs": int(done[1]) if done else count,
        "passed": passed,
        "elapsed_s": round(time.monotonic() - began_s, 1),
        "memory": memory,
        "fault": fault,
        "artifact": artifact,
    }


if __name__ == "__main__":
    raise SystemExit(main())
