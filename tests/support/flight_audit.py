"""Reads the bridges' own records and finds every motion that was in force while its author thought."""

import json
from pathlib import Path


class FlightAudit:
    """Follows the flight logs that bridges write into `folder` and its subfolders, from call to call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.intervals = self.motions = 0
        self._read: dict[Path, int] = {}
        self._moving: dict[Path, set[str]] = {}
        self._thinking: dict[Path, bool] = {}

    def violations(self) -> list[str]:
        """What is wrong in the entries since the last call, one line each."""
        return [wrong for path in sorted(self.folder.rglob("flight_log_*.jsonl")) for wrong in self._follow(path)]

    def _follow(self, path: Path) -> list[str]:
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]  # a bridge may be writing, or was killed in the middle of a line
        self._read[path] = self._read.get(path, 0) + len(whole)
        wrong = []
        moving = self._moving.setdefault(path, set())
        for line in whole.splitlines():
            entry = json.loads(line)
            if "command_started" in entry and entry["command_started"].get("motion"):
                moving.add(entry["command_started"]["command_id"])
                self.motions += 1
            elif "command_ended" in entry:
                moving.discard(entry["command_ended"]["command_id"])
            elif "thinking_began" in entry:
                self._thinking[path] = True
                self.intervals += 1
            elif "thinking_ended" in entry:
                self._thinking[path] = False
            if self._thinking.get(path) and moving:
                wrong.append(f"{path.name} entry {entry['log_seq']}: {sorted(moving)} in force while thinking")
        return wrong
