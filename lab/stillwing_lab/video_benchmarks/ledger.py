"""Answers on disk, a line for each video and mode, so that a run that was stopped goes on where it was.

It knows nothing of what answers mean.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillwing_common.errors import InvalidInput
from stillwing_lab.video_benchmarks.probes import Answer

Key = tuple[str, str]
"""Mode and video."""


class AnswerLedger:
    """One run's answers; `settings` is all that they depend on."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Reads what is there; a line cut short by a kill is played again.

        Raises InvalidInput where the file holds answers to other settings.
        """
        self._path = path
        self.done: dict[Key, tuple[Answer, ...]] = {}
        wanted = json.loads(json.dumps(settings))
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        whole = [json.dumps({"settings": wanted}) + "\n"]
        if lines:
            self._check(lines[0], wanted)
        for line in lines[1:]:
            try:
                stored = json.loads(line)
                self._merge(stored["mode"], stored["video"], [Answer.from_json(each) for each in stored["answers"]])
            except (ValueError, TypeError, KeyError):
                continue
            whole.append(line + "\n")
        path.parent.mkdir(parents=True, exist_ok=True)
        # In one step, so that a kill here loses nothing of what was there.
        partial = path.with_suffix(".partial")
        partial.write_text("".join(whole), encoding="utf-8")
        partial.replace(path)

    def add(self, mode: str, video: str, answers: Sequence[Answer]) -> None:
        """Keep answers of one video in one mode, beside those to other questions about it."""
        self._merge(mode, video, answers)
        stored = {"mode": mode, "video": video, "answers": [answer.to_json() for answer in answers]}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(stored) + "\n")

    def _merge(self, mode: str, video: str, answers: Sequence[Answer]) -> None:
        known = {answer.probe_id: answer for answer in (*self.done.get((mode, video), ()), *answers)}
        self.done[mode, video] = tuple(known.values())

    def _check(self, line: str, wanted: Mapping[str, Any]) -> None:
        try:
            found = json.loads(line)["settings"]
        except (ValueError, TypeError, KeyError):
            found = None
        if not isinstance(found, dict):
            raise InvalidInput(f"{self._path} is no run of a benchmark; give another --out", field="out")
        others = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
        if others:
            told = ", ".join(f"{name} {found.get(name)!r:.40}" for name in others)
            raise InvalidInput(
                f"{self._path} holds answers with other settings ({told}); give another --out", field="out"
            )
