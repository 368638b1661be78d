"""Checks a model directory with a progress bar: what it is, agreement, speeds, probes; prints and keeps them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from stillwing_lab.evaluate.run import conditions
from stillwing_lab.experiments.run import progress
from stillwing_lab.model_check.library import compare
from stillwing_lab.model_check.pictures import known_pictures
from stillwing_lab.model_check.probes import TEXT_PROBES, TOOL_PROBES, ProbeResult, ask_places, ask_text
from stillwing_lab.model_check.report import PAGE, ModelReport
from stillwing_lab.model_check.speeds import advice, measure, ways
from stillwing_vlm.core.catalog import AttentionKind, Decoding, ModelSource
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.results import ModelInfo

_DEADLINE_S = 120.0


def about(source: ModelSource, info: ModelInfo) -> dict[str, Any]:
    """What a model is, in plain words."""
    chat = info.chat
    if chat.problem or not chat.template:
        template, tools = chat.problem or "none in the directory", "none: sessions have no tools"
    else:
        template = chat.template + (f", pictures by {chat.pictures_template}" if chat.pictures_template else "")
        shape = f"{chat.call_opening}…{chat.call_closing}".replace("\n", "\\n")
        tools = f"{'the template knows them' if chat.tools == 'template' else 'put into words around it'}: {shape}"
    return {
        "model": info.model,
        "directory": str(source.directory()),
        "family": info.engine,
        "parameters": f"{info.parameters:,}" + (", made up" if source.random_weights else ""),
        "device": info.device,
        "type": info.dtype,
        "chat template": template,
        "tool calls": tools,
        "ends with": ", ".join(chat.end_tokens) or "nothing known",
        "points in": "not known" if chat.pointing is None else chat.pointing.value.replace("_", " "),
        "trained for": chat.training_range or "not told",
        "memory": f"{info.default_max_context_tokens:,} tokens a session, {info.cache_bytes_per_token:,} bytes each",
        "memory, why": info.budget_reason,
    }


def check(source: ModelSource, tell: Callable[[str], None], step: Callable[[], None]) -> tuple[ModelReport, list[Any]]:
    """All of it; `tell` is called with what is done next, `step` when some of it is done.

    Raises ModelNotUsable, DeviceAbsent, MissingExtra, NoGraphics, Exhausted.
    """
    # Drawn first: a machine that cannot is told before minutes of loading.
    tell("draw twelve pictures")
    pictures = known_pictures()
    step()
    tell("load")
    engine = LocalEngine.load(replace(source, attention=AttentionKind.SDPA, decoding=Decoding.EAGER))
    info = engine.info()
    step()
    tell("compare with transformers")
    agreement = compare(engine.loaded, pictures[0].pixels, pictures[1].pixels)
    step()
    tell("questions and places")
    probes: list[ProbeResult] = []
    for asked in (ask_text(engine, pictures[0]), ask_places(engine, pictures)):
        for probe in asked:
            probes.append(probe)
            step()
    # Each way loads an engine of its own, and proves itself beside another.
    del engine
    speeds = []
    for speed in measure(
        source, info.device, [picture.pixels for picture in pictures], _DEADLINE_S, lambda way: tell(f"measure: {way}")
    ):
        speeds.append(speed)
        step()
    report = ModelReport(about(source, info), agreement, speeds, advice(speeds), probes, conditions())
    return report, pictures


def main(source: ModelSource, *, out: Path | None = None, as_json: bool = False) -> ModelReport:
    """Check a model, print what was found, and keep page and JSON in `out`. Raises what `check` raises."""
    with progress() as bar:
        # Which ways there are is known once the device is; the bar's end is set then.
        task = bar.add_task("begin", total=3 + len(TEXT_PROBES) + len(TOOL_PROBES) + 12 + len(ways("cpu")))
        report, pictures = check(source, lambda what: bar.update(task, description=what), lambda: bar.advance(task))
        bar.update(task, description="done", total=bar.tasks[0].completed)
    if out is not None:
        report.save(out, pictures)
    if as_json:
        print(json.dumps(report.to_json()))
        return report
    console = Console(highlight=False)
    for name, value in report.lines():
        console.print(f"{name:<26} {value}", markup=False, soft_wrap=True)
    first_picture = len(TEXT_PROBES) + len(TOOL_PROBES)
    for number, probe in enumerate(report.probes):
        if not probe.is_right:
            asked = probe.question if number < first_picture else f"picture {number - first_picture}"
            console.print(f"  wrong: {asked}: {probe.answer!r}, right is {probe.wanted}", markup=False, soft_wrap=True)
    if out is not None:
        console.print(f"stored in {out}: {PAGE}, report.json, pictures", markup=False, soft_wrap=True)
    return report
