"""An evaluation as one HTML page: the table, and of each way of flying the best, the median and the worst flight.

Each flight can be played: from above over its scene, with what the camera saw. Pictures are drawn again from the
scene's seed and the recorded track; the page holds everything it needs. It knows nothing of how episodes are flown.
"""

import base64
import html
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from stillwing_airfield.camera import Camera
from stillwing_airfield.contact_sheet import draw_map, level_pose
from stillwing_airfield.scenes.base import build_scene
from stillwing_airfield.world import World
from stillwing_lab.evaluate.episode import EpisodeResult
from stillwing_lab.evaluate.report import COLUMNS, LEGEND, NO_MODEL, Evaluation, cells
from stillwing_training.pilot.config import FLIGHT_HEIGHT_M

_TEMPLATE = Path(__file__).with_name("page.html")
_MAP_PX, _VIEW_PX = 420, (240, 180)
_MOST_FRAMES = 48
_JPEG_QUALITY = 70


def write_page(
    evaluation: Evaluation,
    path: Path,
    pictures: Sequence[Path] = (),
    on_flight: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write `evaluation` to `path`, with `pictures` in it. Takes about a second for each flight shown.

    Of several scenes the flights of models are shown, of one those of everybody.
    """
    alone = len(evaluation.reports) == 1
    chosen = [
        (report.scene, f"{row.name}: {rank}" if alone else f"{report.scene}, {row.name}: {rank}", result)
        for report in evaluation.reports
        for row in report.rows
        if alone or row.model not in (NO_MODEL, "random")
        for rank, result in _shown(report.episodes[row.name])
        if result.track
    ]
    flights = []
    for scene, title, result in chosen:
        flights.append(_flight(scene, title, result))
        on_flight(len(flights), len(chosen))
    told = " · ".join(html.escape(f"{name} {value}") for name, value in evaluation.conditions.items())
    page = _TEMPLATE.read_text(encoding="utf-8").replace("@MAP", str(_MAP_PX))
    page = page.replace("@TITLE", html.escape(evaluation.title)).replace("@LEGEND", html.escape(LEGEND))
    page = page.replace("@TABLES", _tables(evaluation))
    page = page.replace("@PICTURES", "\n".join(_picture(picture) for picture in pictures))
    page = page.replace("@CONDITIONS", told)
    # A "</" within the data would end the script.
    page = page.replace("@FLIGHTS", json.dumps(flights, separators=(",", ":")).replace("</", "<\\/"))
    path.write_text(page, encoding="utf-8")


def _tables(evaluation: Evaluation) -> str:
    """The main table, where there are several scenes, and each scene's own."""
    parts = [_table("Reached / touched anything", *evaluation.main_table())] if len(evaluation.reports) > 1 else []
    parts += [_table(report.scene, COLUMNS, [cells(row) for row in report.rows]) for report in evaluation.reports]
    return "\n".join(parts)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{html.escape(title)}</h2>\n<table><tr>{head}</tr>\n{body}\n</table>"


def _picture(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img class="plot" alt="{html.escape(path.stem)}" src="data:image/png;base64,{data}">'


def _shown(results: Sequence[EpisodeResult]) -> list[tuple[str, EpisodeResult]]:
    """The best, the median and the worst flight; fewer where there are fewer."""
    ranked = sorted(results, key=lambda r: (r.success, not r.collided, r.spl, -r.distance_m), reverse=True)
    places = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
    chosen: dict[int, str] = {}
    for rank, place in places.items():
        chosen.setdefault(place, rank)
    return [(rank, ranked[place]) for place, rank in chosen.items()]


def _flight(scene_name: str, title: str, result: EpisodeResult) -> dict[str, Any]:
    world = World(build_scene(scene_name, result.seed))
    over = draw_map(world, _MAP_PX, [point[1:3] for point in result.track])
    every = max(1, -(-len(result.track) // _MOST_FRAMES))
    track = [*result.track[:-1:every], result.track[-1]]
    with Camera(world, *_VIEW_PX) as camera:
        state = world.copy_render_state()
        views = [
            _jpeg(Image.fromarray(camera.render(state, level_pose((n, e, -FLIGHT_HEIGHT_M), yaw_deg=yaw))["scene"]))
            for _, n, e, yaw, _ in track
        ]
    goal_px = over.pixel(world.scene.goal().position_ned_m)
    return {
        "title": title,
        "mission": world.scene.mission,
        "end": _end(result),
        "map": _jpeg(over.image),
        "goal": [round(part, 1) for part in goal_px],
        "way": [[round(part, 1) for part in over.pixel(point[1:3])] for point in result.track],
        "shots": [
            {"t": t, "at": [round(part, 1) for part in over.pixel((n, e))], "yaw": yaw, "thinks": thinks, "view": view}
            for (t, n, e, yaw, thinks), view in zip(track, views, strict=True)
        ],
    }


def _end(result: EpisodeResult) -> str:
    came = "reached" if result.success else "collided" if result.collided else "not reached"
    return (
        f"seed {result.seed}: {came} ({result.end}), {result.decisions} decisions, {result.refusals} refused, "
        f"{result.simulated_s:.0f} s, {result.distance_m:.1f} m from the goal"
    )


def _jpeg(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
