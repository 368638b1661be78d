"""A memory bank as one HTML page that needs nothing else: things, their keyframes, where, and who recalled them."""

import base64
import html
from collections.abc import Mapping, Sequence

from stillwing_common.types import PositionNed
from stillwing_memory.core.entities import Entity
from stillwing_memory.core.instructions import RecalledBy
from stillwing_memory.core.interchange.bank_export import Memory
from stillwing_memory.core.keyframes import Keyframe, Sighting
from stillwing_memory.core.protocol import BankInfo

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#20242a;
background:#fbfbf9}h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.2rem;margin:2rem 0 .4rem}
h3{font-size:1.05rem;margin:0}.dim{color:#6b7280}.thing{border:1px solid #ddd;border-radius:.5rem;background:#fff;
padding:.8rem 1rem;margin:.8rem 0}.row{display:flex;flex-wrap:wrap;gap:.7rem;margin-top:.6rem}
figure{margin:0;width:13rem}figure .frame{position:relative;line-height:0}figure img{width:100%;border-radius:.3rem}
figure svg{position:absolute;inset:0;width:100%;height:100%}figcaption{font-size:.8rem;margin-top:.2rem;
overflow-wrap:anywhere}
.chip{display:inline-block;border-radius:1rem;background:#eef1f5;padding:0 .6rem;margin:.1rem .2rem .1rem 0;
font-size:.85rem}.chip.past{text-decoration:line-through;color:#8a8f98}.swatch{display:inline-block;width:.8rem;
height:.8rem;border-radius:50%;margin-right:.4rem}table{border-collapse:collapse;width:100%}td,th{text-align:left;
padding:.3rem .6rem .3rem 0;border-bottom:1px solid #e6e6e0;vertical-align:top}.map{max-width:100%;height:26rem;
background:#fff;border:1px solid #ddd;border-radius:.5rem}.thumb{width:5rem;border-radius:.2rem;margin-right:.3rem}
"""
_COLOURS = ("#d64545", "#2f6fd0", "#1f8f4d", "#b7791f", "#7b4ab8", "#0e8a92", "#c2427d", "#5f6b2f")
_NAMED = {
    "red": "#d64545", "blue": "#2f6fd0", "green": "#1f8f4d", "yellow": "#e0b000", "orange": "#e07b20",
    "purple": "#7b4ab8", "pink": "#d76aa0", "brown": "#7a5230", "grey": "#8a8f98", "black": "#222222",
}  # fmt: skip
_SHOWN = 6


def page(info: BankInfo, memory: Memory, images: Mapping[str, bytes]) -> str:
    """The whole page; `images` holds the pictures to show, by frame id."""
    colours = {one.entity_id: _colour(place, one) for place, one in enumerate(memory.entities.values())}
    now = {old: one.entity_id for one in memory.entities.values() for old in (one.entity_id, *one.merged_ids)}
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f"<title>Memory bank</title><style>{_STYLE}</style></head><body><h1>Memory bank</h1>",
        f"<p class='dim'>keyframes: {len(memory.keyframes)} · things: {len(memory.entities)} · "
        f"missions with instructions: {len(memory.instructions)} · tenant {_text(info.tenant)} · texts compared by "
        f"{_text(info.similarity)}, frames scored by {_text(info.scorer)} · revision {info.revision}</p>",
        _map(memory, colours, now),
        "<h2>Things</h2>",
        *(_thing(one, memory, images, colours, now) for one in memory.entities.values()),
        "" if memory.entities else "<p>None yet. Fly a mission whose instruction names something.</p>",
        _missions(memory, images, colours, now),
        _nameless(memory, images),
        "</body></html>\n",
    ]
    return "".join(parts)


def _colour(place: int, entity: Entity) -> str:
    """The colour a thing is said to have, else one of a row of colours."""
    said = [_NAMED[word] for word in entity.label.casefold().split() if word in _NAMED]
    return said[0] if said else _COLOURS[place % len(_COLOURS)]


def shown(memory: Memory) -> list[Keyframe]:
    """The keyframes whose pictures the page shows."""
    wanted: dict[str, Keyframe] = {}
    by_id = {one.frame.frame_id: one for one in memory.keyframes}
    now = {old: one.entity_id for one in memory.entities.values() for old in (one.entity_id, *one.merged_ids)}
    for entity_id in memory.entities:
        wanted |= {one.frame.frame_id: one for one, _ in _best(memory, entity_id, now)}
    for records in memory.instructions.values():
        wanted |= {name: by_id[name] for one in records for name in one.recalled_frame_ids if name in by_id}
    wanted |= {one.frame.frame_id: one for one in _without_things(memory)}
    return [one for one in wanted.values() if not one.forgotten]


def _best(memory: Memory, entity_id: str, now: Mapping[str, str]) -> list[tuple[Keyframe, Sighting]]:
    found = [
        (keyframe, sighting)
        for keyframe in memory.keyframes
        for sighting in keyframe.sightings
        if now.get(sighting.entity_id) == entity_id
    ]
    return sorted(found, key=lambda pair: (-pair[1].confidence, -pair[0].score))[:_SHOWN]


def _without_things(memory: Memory) -> list[Keyframe]:
    return [one for one in memory.keyframes if not one.sightings][-_SHOWN:]


def _thing(
    entity: Entity, memory: Memory, images: Mapping[str, bytes], colours: Mapping[str, str], now: Mapping[str, str]
) -> str:
    colour = colours[entity.entity_id]
    chips = "".join(
        f"<span class='chip{' past' if one.until_wall_ns else ''}'>{_text(one.text)}</span>"
        for one in entity.attributes
    )
    aliases = f" · also {_text(', '.join(entity.aliases))}" if entity.aliases else ""
    place = _where(entity.last_position_ned_m)
    recalled = [
        f"{one.number} of {name}"
        for name, records in memory.instructions.items()
        for one in records
        # What came back for being like an earlier instruction shows that one's things, not these.
        if one.recalled_by is RecalledBy.THINGS and entity.entity_id in {now.get(each) for each in one.entity_ids}
    ]
    told = f"<p class='dim'>recalled for instruction {_text(', '.join(recalled))}</p>" if recalled else ""
    figures = "".join(_figure(one, images, colour, sighting) for one, sighting in _best(memory, entity.entity_id, now))
    row = f"<div class='row'>{figures}</div>" if figures else ""
    unseen = "" if figures else "<p class='dim'>spoken of, and not seen yet</p>"
    return (
        f"<section class='thing'><h3><span class='swatch' style='background:{colour}'></span>{_text(entity.label)}</h3>"
        f"<p class='dim'>{_text(entity.kind or 'thing')}{aliases}{place} · <code>{_text(entity.entity_id)}</code></p>"
        f"{chips}{told}{row}{unseen}</section>"
    )


def _figure(keyframe: Keyframe, images: Mapping[str, bytes], colour: str, sighting: Sighting | None) -> str:
    box = ""
    if sighting is not None and sighting.box is not None:
        left, top, right, bottom = (100 * side for side in sighting.box)
        box = (
            "<svg viewBox='0 0 100 100' preserveAspectRatio='none'>"
            f"<rect x='{left:.2f}' y='{top:.2f}' width='{right - left:.2f}' height='{bottom - top:.2f}' fill='none' "
            f"stroke='{colour}' stroke-width='3' vector-effect='non-scaling-stroke'/></svg>"
        )
    seen = f"visible {sighting.confidence:.2f} · " if sighting is not None else ""
    under = f"instruction {keyframe.instruction}, chunk {keyframe.chunk}" if keyframe.instruction else "a decision"
    return (
        f"<figure><div class='frame'>{_picture(keyframe, images)}{box}</div><figcaption>{seen}score "
        f"{keyframe.score:.2f}<br><span class='dim'>{_text(under)} · {_text(keyframe.frame.frame_id)}</span>"
        f"<br>{_text(keyframe.caption[:120])}</figcaption></figure>"
    )


def _picture(keyframe: Keyframe, images: Mapping[str, bytes], style: str = "") -> str:
    data = images.get(keyframe.frame.frame_id)
    if data is None:
        return "<p class='dim'>pixels forgotten</p>"
    kind = keyframe.frame.image.encoding.value
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f"<img {style} src='{source}' alt='{_text(keyframe.frame.frame_id)}'>"


def _missions(memory: Memory, images: Mapping[str, bytes], colours: Mapping[str, str], now: Mapping[str, str]) -> str:
    if not memory.instructions:
        return ""
    by_id = {one.frame.frame_id: one for one in memory.keyframes}
    rows = []
    for name, records in memory.instructions.items():
        for record in records:
            things = "".join(
                f"<span class='chip'><span class='swatch' style='background:{colours[now[one]]}'></span>"
                f"{_text(memory.entities[now[one]].label)}</span>"
                for one in record.entity_ids
                if one in now
            )
            pictures = "".join(
                _picture(by_id[one], images, "class='thumb'") for one in record.recalled_frame_ids if one in by_id
            )
            recalled = f"by {record.recalled_by.value}<br>{pictures}" if record.recalled_frame_ids else "nothing"
            rows.append(
                f"<tr><td class='dim'>{_text(name)}</td><td>{record.number}</td><td>{_text(record.text)}</td>"
                f"<td>{things}</td><td>{recalled}</td></tr>"
            )
    head = "<tr><th>mission</th><th></th><th>instruction</th><th>about</th><th>recalled</th></tr>"
    return f"<h2>Missions</h2><table>{head}{''.join(rows)}</table>"


def _nameless(memory: Memory, images: Mapping[str, bytes]) -> str:
    frames = _without_things(memory)
    if not frames:
        return ""
    figures = "".join(_figure(one, images, "", None) for one in frames)
    total = sum(not one.sightings for one in memory.keyframes)
    return f"<h2>Without a thing</h2><p class='dim'>the newest of {total}</p><div class='row'>{figures}</div>"


# Map


def _map(memory: Memory, colours: Mapping[str, str], now: Mapping[str, str]) -> str:
    """From above, north up: grey dots where keyframes were taken, coloured ones where things are or were seen from."""
    cameras = [(one.frame.camera_pose.position, one) for one in memory.keyframes if one.frame.camera_pose is not None]
    things = [(one.last_position_ned_m, one) for one in memory.entities.values() if one.last_position_ned_m is not None]
    places = [*(place for place, _ in cameras), *(place for place, _ in things)]
    if not places:
        return ""
    north, east = [one.north_m for one in places], [one.east_m for one in places]
    span = max(max(north) - min(north), max(east) - min(east), 1.0)
    margin = 0.08 * span
    # As wide as high at least, and so much wider that a name fits beside what stands at the edge.
    width, height = span + 6 * margin, max(north) - min(north) + 2 * margin
    left, top = (min(east) + max(east) - width) / 2, -max(north) - margin
    dot = 0.008 * span
    marks = []
    for place, keyframe in cameras:
        seen = [colours[now[one.entity_id]] for one in keyframe.sightings if one.entity_id in now]
        fill = seen[0] if seen else "#9aa3ad"
        marks.append(_dot(place, dot, fill, f"{keyframe.frame.frame_id}: {_labels(keyframe.sightings)}"))
    for place, entity in things:
        colour = colours[entity.entity_id]
        marks.append(_dot(place, 2.2 * dot, colour, entity.label))
        marks.append(
            f"<text x='{place.east_m + 3 * dot:.3f}' y='{-place.north_m:.3f}' font-size='{4 * dot:.3f}'>"
            f"{_text(entity.label)}</text>"
        )
    return (
        f"<h2>Map</h2><p class='dim'>north is up, {span:.0f} m across; a dot is where a keyframe was taken, in the "
        "colour of what it shows</p>"
        f"<svg class='map' viewBox='{left:.3f} {top:.3f} {width:.3f} {height:.3f}'>{''.join(marks)}</svg>"
    )


def _dot(place: PositionNed, radius: float, fill: str, title: str) -> str:
    return (
        f"<circle cx='{place.east_m:.3f}' cy='{-place.north_m:.3f}' r='{radius:.3f}' fill='{fill}' fill-opacity='.8'>"
        f"<title>{_text(title)}</title></circle>"
    )


def _labels(sightings: Sequence[Sighting]) -> str:
    return ", ".join(one.label for one in sightings) or "nothing named"


def _where(place: PositionNed | None) -> str:
    return "" if place is None else f" · last at north {place.north_m:.1f} m, east {place.east_m:.1f} m"


def _text(text: str) -> str:
    return html.escape(text, quote=True)
