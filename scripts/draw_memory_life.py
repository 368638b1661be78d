"""Draws docs/images/memory_life.svg, one thing's life in the memory: `python scripts/draw_memory_life.py`."""

from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "images" / "memory_life.svg"

_STEPS = (
    ("1 · spoken of", "“Fly past the red van.”", "the agent reads: red van", "#2f6fd0"),
    ("2 · known", "the bank mints ent_01…", "van_1: red van", "#2f6fd0"),
    ("3 · seen", "in the model's window", "tagged: visible 0.97", "#1f8f4d"),
    ("4 · out of sight", "its chunk is evicted", "which of three frames?", "#8a8f98"),
    ("5 · filed", "the chunk's best frame", "image, pose, time, tag", "#b7791f"),
    ("6 · recalled", "“Go back to the van.”", "before the next decision", "#d64545"),
)
_WIDE, _HIGH, _GAP = 186, 84, 16


def page() -> str:
    """The whole picture."""
    width = len(_STEPS) * (_WIDE + _GAP) + _GAP
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} 330' font-family='system-ui,sans-serif'>",
        f"<rect width='{width}' height='330' fill='#fbfbf9'/>",
    ]
    for place, (title, first, second, colour) in enumerate(_STEPS):
        left = _GAP + place * (_WIDE + _GAP)
        parts.append(
            f"<rect x='{left}' y='20' width='{_WIDE}' height='{_HIGH}' rx='8' fill='#fff' stroke='{colour}' "
            f"stroke-width='2'/><text x='{left + 12}' y='44' font-size='15' font-weight='600' fill='{colour}'>{title}"
            f"</text><text x='{left + 12}' y='66' font-size='12.5' fill='#20242a'>{first}</text>"
            f"<text x='{left + 12}' y='86' font-size='12.5' fill='#6b7280'>{second}</text>"
        )
        if place:
            parts.append(f"<path d='M{left - _GAP + 2} 62h{_GAP - 5}' stroke='#6b7280' stroke-width='2'/>")
    parts += [_strip(130, "the model's video memory at 3", ("S", "", "", "", "w", "w", "V", "w", "w"), width)]
    parts += [_strip(196, "after 4: the van is out of sight", ("S", "", "", "", "w", "w", "w", "w", "w"), width)]
    parts += [_strip(262, "after 6: the van is back, as memory", ("S", "V", "m", "m", "w", "w", "w", "w", "w"), width)]
    return "".join([*parts, "</svg>\n"])


def _strip(top: int, title: str, frames: tuple[str, ...], width: int) -> str:
    """Sink, memory segment and window, a square a frame; the van's frame is red."""
    fills = {"S": "#cdd5df", "": "#fbfbf9", "w": "#dfe9f7", "m": "#f3e3c8", "V": "#d64545"}
    names = {"S": "sink", "": "", "m": "memory", "w": "window", "V": "the van"}
    parts = [f"<text x='{_GAP}' y='{top + 28}' font-size='13' fill='#20242a'>{title}</text>"]
    left = 330
    for place, kind in enumerate(frames):
        parts.append(
            f"<rect x='{left}' y='{top}' width='58' height='44' rx='4' fill='{fills[kind]}' stroke='#8a8f98'/>"
            f"<text x='{left + 29}' y='{top + 27}' font-size='11.5' text-anchor='middle' "
            f"fill='{'#fff' if kind == 'V' else '#4b5563'}'>{names[kind]}</text>"
        )
        left += 64 + (14 if place in (0, 3) else 0)
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
