"""A flight as it happens: a panel that redraws itself on a terminal, one line a decision elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stillwing_agent.core.events import (
    ActionStarted,
    Instructed,
    MissionEvent,
    MotionRefused,
    ServiceBack,
    ServiceLost,
    StateChanged,
    ToldOutside,
)
from stillwing_cli.flight_record import FlightRecord
from stillwing_cli.watch import describe

_REFRESH_HZ = 4
_TOLD = (StateChanged, Instructed, ActionStarted, MotionRefused, ServiceLost, ServiceBack, ToldOutside)


class FlightDisplay:
    """Shows one record while it grows."""

    def __init__(self, record: FlightRecord, console: Console) -> None:
        self._record = record
        self._console = console
        self._began_s = time.monotonic()
        self._live = Live(console=console, refresh_per_second=_REFRESH_HZ, get_renderable=self._panel, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, event: MissionEvent) -> None:
        """Take notice of one event, which the record already has."""
        if self._console.is_terminal:
            if isinstance(event.happening, ServiceLost | ServiceBack):
                self._live.console.print(describe(event.happening))  # above the panel, where it stays
            self._live.refresh()
        elif isinstance(event.happening, _TOLD):
            self._console.print(
                Text.assemble((f"{time.monotonic() - self._began_s:6.1f} s  ", "dim"), describe(event.happening)),
                soft_wrap=True,
            )

    def warn(self, text: str) -> None:
        """Print above the panel what everybody has to know."""
        self._console.print(Text(text, "bold red"), soft_wrap=True)

    def refresh(self) -> None:
        """Draw anew."""
        if self._console.is_terminal:
            self._live.refresh()

    def _panel(self) -> Panel:
        record, figures = self._record, self._record.mission.figures
        thinking = bool(record.track) and record.track[-1].thinking
        distance_m = record.distance_m
        # The newest that has an answer: the one being thought about has nothing to show yet.
        last = next((decision for decision in reversed(record.decisions) if decision.action), None)
        table = Table.grid(padding=(0, 2))
        doing = Text("holds and thinks", "magenta") if thinking else Text(record.mission.state.value, "bold")
        for name, value in (
            ("state", doing),
            ("time", Text(f"{time.monotonic() - self._began_s:.0f} s")),
            ("decision", Text(str(figures.decisions))),
            ("last action", Text(last.action if last else "", "cyan")),
            ("outcome", Text(last.outcome if last else "", "yellow" if last and last.outcome != "done" else "green")),
            ("think time", Text(f"{figures.thinking_s:.2f} s, last {last.think_s * 1000 if last else 0:.0f} ms")),
            ("frames", Text(f"{figures.frames_seen} seen, {figures.frames_evicted} evicted")),
            ("to the goal", Text("–" if distance_m is None else f"{distance_m:.1f} m")),
            ("collisions", Text(str(record.collisions), "red" if record.collisions else "")),
        ):
            table.add_row(Text(name, "dim"), value)
        return Panel(table, title=record.mission.instruction or record.mission.goal, title_align="left", width=72)
