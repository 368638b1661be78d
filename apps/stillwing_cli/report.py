"""A mission's report: a folder with one page that needs nothing else, the figures, the track and the frames."""

import base64
import html
import json
from datetime import datetime
from pathlib import Path

from stillwing_cli.flight_record import Decision, FlightRecord
from stillwing_cli.track import draw_track
from stillwing_cli.watch import as_plain

LABELS = {
    "claimed": "achieved, says the agent",
    "verified": "verified",
    "verified_by": "verified by",
    "distance_m": "distance to goal at the end, m",
    "collisions": "collisions",
    "decisions": "decisions",
    "refusals": "motions refused",
    "thinking_s": "think time, s",
    "think_median_s": "think time of a decision, median, s",
    "frames_seen": "frames seen",
    "frames_evicted": "frames evicted",
    "keyframes_filed": "keyframes filed",
    "flight_s": "mission took, s",
    "path_m": "way flown, m",
    "motions_while_thinking": "motions in force while thinking",
}
"""Figures of the summary that people are shown, in order."""

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;color:#20242a;
background:#fbfbf9}
h1{font-size:1.6rem;margin-bottom:.2rem}.verdict{display:inline-block;padding:.15rem .7rem;border-radius:1rem;
color:#fff}
.why{color:#c0392b}
.yes{background:#1f8f4d}.no{background:#c0392b}.top{display:flex;gap:2rem;flex-wrap:wrap;align-items:flex-start}
.top img{width:min(34rem,100%);border:1px solid #ddd;border-radius:.4rem}table{border-collapse:collapse}
td{padding:.15rem .8rem .15rem 0;border-bottom:1px solid #e6e6e0}td:last-child{text-align:right;font-variant-numeric:
tabular-nums}.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:1rem;margin-top:1rem}
.card{border:1px solid #ddd;border-radius:.4rem;overflow:hidden;background:#fff;font-size:.85rem}.card img{width:100%;
display:block}.card p{margin:.3rem .6rem}.dim{color:#777}code{font-size:.85em;word-break:break-all}
"""


def write_report(record: FlightRecord, folder: Path) -> None:
    """Write the report into a folder made by `fresh_folder`."""
    (folder / "frames").mkdir()
    track = draw_track(record)
    (folder / "track.png").write_bytes(track)
    for decision in record.decisions:
        if decision.jpeg:
            (folder / "frames" / f"{decision.number:03}.jpg").write_bytes(decision.jpeg)
    _write_text(folder / "summary.json", json.dumps(record.summary(), indent=2) + "\n")
    events = (json.dumps(as_plain(event) | {"kind": type(event.happening).__name__}) for event in record.events)
    _write_text(folder / "events.jsonl", "".join(f"{line}\n" for line in events))
    _write_text(folder / "report.html", _page(record, track))


def fresh_folder(runs: Path, when: datetime) -> Path:
    """Make `<runs>/<time>`, with a number behind it if two flights begin in one second."""
    name = when.strftime("%Y-%m-%d_%H-%M-%S")
    for number in range(1, 1000):
        folder = runs / (name if number == 1 else f"{name}_{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"{runs / name} and its successors")


def _page(record: FlightRecord, track: bytes) -> str:
    summary = record.summary()
    rows = "".join(f"<tr><td>{label}</td><td>{_shown(summary[key])}</td></tr>" for key, label in LABELS.items())
    where = f"{summary['scene']}, seed {summary['seed']}" if summary["scene"] else "no ground truth"
    why = f'<p class="why">{html.escape(summary["error"])}</p>' if summary["error"] else ""
    cards = "".join(_card(decision) for decision in record.decisions)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(record.mission.goal)}</title><style>{_STYLE}</style>
<h1>{html.escape(record.mission.goal)}</h1>
<p><span class="verdict {"yes" if record.achieved else "no"}">{record.verdict}</span>
<span class="dim">{html.escape(where)} · {summary["mission_id"]}</span></p>{why}
<div class="top"><table>{rows}</table><img alt="track from above" src="{_data_url("png", track)}"></div>
<h2>Decisions</h2><div class="grid">{cards}</div></html>
"""


def _card(decision: Decision) -> str:
    image = f'<img alt="frame" src="{_data_url("jpeg", decision.jpeg)}">' if decision.jpeg else ""
    outcome = f"<p>{html.escape(decision.outcome)}</p>" if decision.outcome not in ("", "done") else ""
    shown = decision.action or decision.answer
    return (
        f'<div class="card">{image}<p><b>{decision.number}</b> <code>{html.escape(shown)}</code></p>{outcome}'
        f'<p class="dim">{decision.think_s * 1000:.0f} ms · {decision.context_tokens} tokens · '
        f"{html.escape(decision.frame_id)}</p></div>"
    )


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return html.escape(str(value))


def _data_url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
