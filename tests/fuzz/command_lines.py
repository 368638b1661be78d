"""Command lines of `stillwing`, of its own options and of values and files that people and programs get wrong.

Each runs in this process through the program's own entry point, in a folder where no stack is up. What would go on for
long is given something that ends it: nothing here trains, evaluates or starts a stack. No value names a place outside
that folder where something could be written: whoever runs this may be root.
"""

import contextlib
import io
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from dice import Dice, Make, Target

TEXTS = (
    "", " ", "0", "-1", "1", "1.5", "nan", "inf", "-inf", "1e400", "1e-300", "9" * 30, "-" + "9" * 30, "0x10", "1_000",
    "٣", "\udcff", "a\udc80b", "\ud83d", "é", "🚁", "a\nb", "a\0b", "\x1b[31mred", "[/red]", "[bold]x", "%s%n", "{0}",
    "$(x)", "'", '"', ".", "~", "/dev/null/x", "x" * 300, "x" * 5000, "-", "--", "-h", "--json", "true",
)  # fmt: skip
ADDRESSES = ("127.0.0.1:1", ":", "::::", "host:port", "127.0.0.1:99999", "unix:/nothing", "dns:///x", "[::1", "ipv4:1")

ENDS: dict[tuple[str, ...], list[str]] = {
    ("up",): ["--certs", "/dev/null/x"],
    ("fly",): ["--scene", "nowhere"],
    ("check-agent",): ["--ports", "none"],
    ("check-model",): ["--device", "none"],
    ("eval",): ["--policy", "nobody"],
    ("train-pilot",): ["--start-from", "/dev/null/x", "--work", "/dev/null/x", "--out", "/dev/null/x"],
    ("eval-recording",): ["--model", "/dev/null/x"],
    ("lab", "eviction-a"): ["--model", "/dev/null/x"],
    ("lab", "eviction-b"): ["--model", "/dev/null/x"],
    ("lab", "eviction-c"): ["--model", "/dev/null/x"],
    ("lab", "precision"): ["--model", "/dev/null/x"],
    ("lab", "instructions"): ["--source", "/dev/null/x"],
    ("lab", "ablate"): ["--model", "/dev/null/x"],
    ("lab", "memory"): ["--policy", "nobody"],
    ("lab", "train-recall"): ["--out", "/dev/null/x"],
    ("lab", "ovo-bench"): ["--model", "/dev/null/x"],
    ("lab", "streaming-bench"): ["--model", "/dev/null/x"],
    ("replay",): ["--info"],
}
"""What each command line of these ends with, so that it is refused before anything long begins."""


LEFT_OUT = ("doctor", "stop")
"""What reads nothing and takes seconds, and what takes any words whatever, which its own tests try."""
OF_THE_LAB = ("check-model", "eval", "eval-recording", "lab", "train-pilot")
"""What brings torch along."""


@dataclass(frozen=True)
class Parameter:
    """One option or argument; `word` is "" for an argument."""

    word: str
    is_flag: bool


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[Parameter]]]:
    """Every command that does something, with what it takes."""
    import typer

    from stillwing_cli.main import app

    group = group or typer.main.get_command(app)
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, name))
            continue
        yield (
            (*path, name),
            [
                Parameter(
                    "" if parameter.param_type_name == "argument" else parameter.opts[0],
                    bool(getattr(parameter, "is_flag", False)),
                )
                for parameter in command.params
            ],
        )


def run(words: list[str]) -> tuple[int, str]:
    """Run one command line: its exit code, and what is wrong with how it ended, "" for nothing."""
    from typer.testing import CliRunner

    from stillwing_cli.main import app

    result = CliRunner().invoke(app, words)
    fault = result.exception
    if fault is not None and not isinstance(fault, SystemExit):
        return result.exit_code, f"{type(fault).__name__}: {fault}"
    if "Traceback (most recent" in result.output or result.exit_code not in (0, 1, 2, 3, 4):
        return result.exit_code, f"exit code {result.exit_code}: {result.output[-2000:]}"
    told = [line for line in result.stderr.splitlines() if line.startswith(("stillwing: ", "Error: "))]
    if (result.exit_code == 2 and len(told) != 1) or len(told) > 1:
        return result.exit_code, f"{len(told)} sentences of what is wrong: {result.stderr[-1000:]}"
    return result.exit_code, ""


def command_lines(stack: ExitStack) -> Target:
    """Any command but the lab's with any of its options, any values and any files."""
    return _lines(stack, lambda name: name not in OF_THE_LAB)


def lab_command_lines(stack: ExitStack) -> Target:
    """The same for what trains, evaluates and measures."""
    return _lines(stack, lambda name: name in OF_THE_LAB)


def _lines(stack: ExitStack, is_wanted: Callable[[str], bool]) -> Target:
    """Passed is what got past the reading of its words."""
    import stillwing_cli.state
    from stillwing_rpc import channel

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stillwing-fuzz-")))
    (folder / "files").mkdir()
    stack.enter_context(contextlib.chdir(folder))
    # Nobody is there, and to find that out need not take the seconds that a user is given to start it.
    closed = dict.fromkeys(stillwing_cli.state.DEFAULT_PORTS, 1)
    stack.enter_context(patch.object(stillwing_cli.state, "DEFAULT_PORTS", closed))
    stack.enter_context(patch.object(channel, "_wait_serving", partial(_wait_briefly, channel._wait_serving)))
    known = [each for each in commands() if each[0][0] not in LEFT_OUT and is_wanted(each[0][0])]
    values = [*TEXTS, *ADDRESSES, *map(str, make_files(folder / "files"))]

    def target(data: bytes) -> bool:
        dice = Dice(data)
        path, parameters = dice.pick(known)
        words = [*path]
        for parameter in parameters:
            if not parameter.word:
                words += [dice.pick(values) for _ in range(dice.pick((1, 1, 1, 1, 0, 2)))]
            elif dice.byte() % 4 == 0:
                value, together = dice.pick(values), dice.byte() % 2
                given = [f"{parameter.word}={value}"] if together else [parameter.word, value]
                words += [parameter.word] if parameter.is_flag else given
        code, fault = run([*words, *ENDS.get(path, [])])
        assert not fault, f"{words}: {fault}"
        return code != 2

    return target


async def _wait_briefly(wait: Any, connection: Any, target: str, service: str, wait_s: float) -> None:
    await wait(connection, target, service, min(wait_s, 0.01))


def make_files(folder: Path) -> list[Path]:
    """One of each kind that somebody may hand over: good ones, damaged ones, ones of another kind, and none."""
    from mcap.writer import Writer
    from recording_values import VEHICLE, frame_update, jpeg

    from stillwing_recording import topics
    from stillwing_recording.writer import FlightWriter

    good = folder / "good.mcap"
    writer = FlightWriter(good, VEHICLE, 1)
    writer.frame(frame_update(1), 2)
    writer.frame(frame_update(2), 3)
    writer.close()
    data = good.read_bytes()
    with (folder / "json.mcap").open("wb") as file:
        other = Writer(file)
        other.start(profile=topics.PROFILE)
        channel = other.register_channel(topics.VEHICLE, "json", 0)
        other.add_message(channel, 1, b"{}", 1)
        other.finish()
    (folder / "cut.mcap").write_bytes(data[: len(data) // 2])
    (folder / "empty.mcap").write_bytes(b"")
    (folder / "text.txt").write_text("0 takeoff\n+0 land\n")
    (folder / "other.txt").write_bytes(b"\xff\xfe0 takeoff nan=nan\n")
    (folder / "empty.json").write_text("")
    (folder / "list.json").write_text("[1, 2, 3]")
    (folder / "deep.json").write_text("[" * 20_000)
    (folder / "nan.json").write_text('{"a": NaN, "b": 1e999, "c": "\\ud83d"}')
    (folder / "numbers.json").write_text("9" * 10_000)
    (folder / "lines.jsonl").write_text('{"image": "../../etc/passwd"}\nnull\n"x"\n')
    (folder / "zip.zip").write_bytes(_zip())
    (folder / "picture.png").write_bytes(_png())
    (folder / "bomb.png").write_bytes(_png(20_000))
    for name in ("good", "times", "links", "wrong", "empty"):
        (folder / name).mkdir()
    for number in (1, 2):
        (folder / "good" / f"{number}.jpg").write_bytes(jpeg(number))
        (folder / "times" / f"{number}.jpg").write_bytes(jpeg(number))
    (folder / "times" / "timestamps.csv").write_text("1.jpg,nan\n2.jpg,1e300\n")
    (folder / "links" / "1.jpg").symlink_to(folder / "gone.jpg")
    (folder / "wrong" / "1.jpg").write_bytes(b"no picture")
    (folder / "wrong" / "keyframes.jsonl").write_text('{"image": "1.jpg"}\n[]\n')
    (folder / "[red] \x1b[31m\n.mcap").write_bytes(data[:100])
    return [*sorted(folder.iterdir()), folder / "gone", Path("/dev/null"), Path("/proc/version")]


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../x", b"x")
    return file.getvalue()


def _png(side_px: int = 8) -> bytes:
    import numpy as np
    from PIL import Image as Pillow

    file = io.BytesIO()
    Pillow.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file, "PNG")
    data = bytearray(file.getvalue())
    data[16:24] = struct.pack(">II", side_px, side_px)
    return bytes(data)


COMMAND_TARGETS: dict[str, tuple[Make, float, tuple[str, ...]]] = {
    "command_lines": (
        command_lines,
        0.009,
        ("stillwing_cli.main", "stillwing_cli.replay", "stillwing_cli.certs", "stillwing_cli.memory"),
    ),
    "lab_command_lines": (lab_command_lines, 0.001, ("stillwing_cli.lab", "stillwing_cli.evaluate")),
}
