"""A mission's way from above, over the scene's trees and beacons, as a PNG."""

from io import BytesIO
from typing import Any

from stillwing_cli.flight_record import REACHED_M, FlightRecord

_COLOURS = {"red": "#d62728", "blue": "#1f4fd6", "yellow": "#e8c400", "green": "#1fae4b"}
_SIZE_IN = 7.0
_DPI = 130
_MARGIN_M = 2.5


def draw_track(record: FlightRecord) -> bytes:
    """The picture: north is up, metres; dots where the vehicle held and thought."""
    from matplotlib.figure import Figure  # takes a second to import, and `status` should not wait for it

    figure = Figure(figsize=(_SIZE_IN, _SIZE_IN), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("#eef3e6")
    _draw_scene(axes, record)
    _draw_way(axes, record)
    axes.set_aspect("equal")
    axes.set_xlabel("east, m")
    axes.set_ylabel("north, m")
    axes.grid(color="white", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(f"{record.mission.goal}  —  {record.verdict}", fontsize=11)
    axes.margins(0.08)
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _draw_scene(axes: Any, record: FlightRecord) -> None:
    from matplotlib.patches import Circle, Rectangle

    if record.scene is None:
        return
    for thing in record.scene.objects:
        north_m, east_m, _ = thing.position_ned_m
        if thing.kind == "tree":
            axes.add_patch(Circle((east_m, north_m), max(thing.radius_m, 0.5), color="#5d8a4a", alpha=0.75, zorder=2))
        elif thing.size_m is not None:
            long_m, wide_m = thing.size_m
            corner = (east_m - wide_m / 2, north_m - long_m / 2)
            colour = _COLOURS.get(thing.colour or "", "#8a8378")
            # matplotlib turns anticlockwise, headings go clockwise.
            axes.add_patch(
                Rectangle(corner, wide_m, long_m, angle=-thing.yaw_deg, rotation_point="center", color=colour, zorder=2)
            )
        elif thing.kind == "beacon":
            colour = _COLOURS.get(thing.colour or "", "#777777")
            axes.add_patch(Circle((east_m, north_m), 0.7, facecolor=colour, edgecolor="black", zorder=3))
            axes.annotate(thing.name, (east_m, north_m), (0, 11), textcoords="offset points", ha="center", fontsize=8)
            if record.goal is not None and thing.name == record.goal.name:
                axes.add_patch(
                    Circle((east_m, north_m), REACHED_M, fill=False, edgecolor=colour, linestyle="--", zorder=2)
                )
        elif thing.radius_m > 0:
            axes.add_patch(Circle((east_m, north_m), max(thing.radius_m, 0.2), color="#555555", zorder=2))
        axes.update_datalim([(east_m - _MARGIN_M, north_m - _MARGIN_M), (east_m + _MARGIN_M, north_m + _MARGIN_M)])


def _draw_way(axes: Any, record: FlightRecord) -> None:
    way = [(point.position.east_m, point.position.north_m) for point in record.track]
    if not way:
        return
    axes.plot(*zip(*way, strict=True), color="#30343b", linewidth=1.6, zorder=4)
    thought = [(d.position.east_m, d.position.north_m) for d in record.decisions if d.position is not None]
    if thought:
        axes.scatter(*zip(*thought, strict=True), s=14, color="#ff7f0e", zorder=5, label="held and thought")
    axes.scatter(*way[0], marker="o", s=60, facecolor="white", edgecolor="black", zorder=6, label="start")
    axes.scatter(*way[-1], marker="X", s=80, color="black", zorder=6, label="end")
    axes.legend(loc="best", fontsize=8, framealpha=0.9)
