"""`stillwing memory show | export | import`: look at the memory bank, and carry it out and in."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.progress import Progress

from stillwing_cli.commands import application
from stillwing_cli.memory_page import page, shown
from stillwing_cli.memory_reading import ReadingByRule
from stillwing_cli.plan import MEMORY
from stillwing_cli.state import default_state, read_state
from stillwing_cli.terminal import AsJson, err, next_step, out, print_json, run
from stillwing_memory.client import RemoteMemoryBank
from stillwing_memory.core.interchange.bank_export import export, gather, with_pixels
from stillwing_memory.core.interchange.bank_import import import_path
from stillwing_memory.core.interchange.files import Count, Step
from stillwing_memory.core.protocol import MemoryBank

T = TypeVar("T")

_WAIT_S = 5.0

memory = application("Look at the memory bank, and carry it out and in.")

Mission = Annotated[str, typer.Option(help="Only this mission; empty means all.")]
Address = Annotated[str, typer.Option(help="The bank, host:port; empty finds the running one.")]


@memory.command()
def show(
    to: Annotated[Path, typer.Option("--out", help="Where the page goes.")] = Path("memory.html"),
    mission: Mission = "",
    address: Address = "",
    as_json: AsJson = False,
) -> None:
    """Write one HTML page: things, their keyframes with boxes and scores, the map, and who recalled what."""

    async def work(bank: MemoryBank, step: Step) -> dict[str, object]:
        found = await gather(bank, mission)
        wanted = shown(found)
        images = {}
        for place, keyframe in enumerate(wanted, 1):
            images[keyframe.frame.frame_id] = (await with_pixels(bank, keyframe)).frame.image.data
            step(place, len(wanted))
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(page(await bank.get_bank(), found, images), encoding="utf-8")
        return {"page": str(to), "keyframes": len(found.keyframes), "entities": len(found.entities)}

    figures = run(_with_bank(address, "pictures", work))
    if as_json:
        print_json(figures)
    else:
        out.print(f"{figures['keyframes']} keyframes and {figures['entities']} things: {to}", soft_wrap=True)
    next_step(err if as_json else out, f"open {to}", "in a browser; it needs nothing else")


@memory.command(name="export")
def export_(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    mission: Mission = "",
    address: Address = "",
    as_json: AsJson = False,
) -> None:
    """Write images with JSON lines, and interactive_inference.jsonl, llm_agent.json and memory_bank.json."""
    count = run(_with_bank(address, "keyframes", lambda bank, step: export(bank, folder, mission, step)))
    _tell(count, f"to {folder}", as_json)
    next_step(err if as_json else out, f"stillwing memory import {folder}", "into another bank")


@memory.command(name="import")
def import_(
    path: Annotated[Path, typer.Argument(help="A folder with keyframes.jsonl, or one of the three formats.")],
    address: Address = "",
    as_json: AsJson = False,
) -> None:
    """Take in a folder of images with JSON lines, or one of the three formats; importing twice changes nothing."""
    count = run(_with_bank(address, "keyframes", lambda bank, step: import_path(bank, path, step, ReadingByRule())))
    _tell(count, f"from {path}", as_json)
    next_step(err if as_json else out, "stillwing memory show", "look at it")


async def _with_bank(address: str, what: str, work: Callable[[MemoryBank, Step], Awaitable[T]]) -> T:
    state = read_state() or default_state()
    bank = await RemoteMemoryBank.connect(address or state.address(MEMORY), state.channel, wait_s=_WAIT_S)
    try:
        with Progress(console=err, transient=True) as progress:
            task = progress.add_task(what, total=None)

            def step(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            return await work(bank, step)
    finally:
        await bank.close()


def _tell(count: Count, where: str, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "keyframes": count.keyframes,
                "entities": count.entities,
                "instructions": count.instructions,
                "skipped": count.skipped,
            }
        )
        return
    out.print(
        f"{count.keyframes} keyframes, {count.entities} things, {count.instructions} instructions {where}",
        soft_wrap=True,
    )
    for reason in count.skipped[:10]:
        err.print(f"left out {reason}", soft_wrap=True)
    if len(count.skipped) > 10:
        err.print(f"… and {len(count.skipped) - 10} more", soft_wrap=True)
