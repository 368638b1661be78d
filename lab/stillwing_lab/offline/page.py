"""Decisions over a recording as a page: the figures, the timeline, and every decision beside the frame it saw.

Frames lie beside the page as they lie in the recording, so that a long one opens at once. It knows nothing of models.
"""

import html
from collections.abc import Mapping
from pathlib import Path

from stillwing_common.types import Frame, ImageEncoding
from stillwing_lab.offline.decide import Decision
from stillwing_lab.offline.report import OfflineReport, colours_of

PAGE, TIMELINE, FRAMES = "report.html", "timeline.png", "frames"

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#20242a;
background:#fbfbf9}h1{font-size:1.5rem;margin-bottom:.4rem}table{border-collapse:collapse;font-size:.9rem}
td,th{padding:.15rem .8rem .15rem 0;border-bottom:1px solid #e6e6e0;text-align:left;vertical-align:top}
.plot{width:100%;margin:1rem 0}.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.9rem}
.card{border:1px solid #ddd;border-radius:.4rem;overflow:hidden;background:#fff;font-size:.84rem}
.card img{width:100%;display:block;min-height:6rem;background:#eee}.card p{margin:.3rem .6rem}.dim{color:#777}
.differs{outline:3px solid #c0392b}.agrees{outline:2px solid #1f8f4d}code{font-size:.92em;word-break:break-word}
.word{display:inline-block;padding:0 .45rem;border-radius:.6rem;color:#fff;font-size:.8rem}.note{color:#666}
"""


def frame_file(decision: Decision) -> str:
    """Where the frame of a decision lies, relative to the page."""
    suffix = "png" if decision.frame.image.encoding is ImageEncoding.PNG else "jpg"
    return f"{FRAMES}/{decision.number:06}.{suffix}"


def write_frame(folder: Path, decision: Decision) -> None:
    """Write its frame, as it lies in the recording, below `folder`."""
    path = folder / frame_file(decision)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encoded(decision.frame))


def write_page(report: OfflineReport, folder: Path) -> None:
    """Write `report.html`; frames and `timeline.png` lie in `folder` already."""
    colours = colours_of(report.decisions)
    rows = "".join(f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in report.lines())
    told = " · ".join(html.escape(f"{name} {value}") for name, value in report.conditions.items())
    cards = "".join(_card(each, colours) for each in report.decisions)
    title = html.escape(f"{report.about['model']} over {report.about['recording']}")
    page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{_STYLE}</style>
<h1>{title}</h1><table>{rows}</table>
<img class="plot" alt="decisions, what was flown and times to the first token, over time" src="{TIMELINE}">
{_confusion(report)}<h2>Decisions</h2>
<p class="note">Green: as it was flown. Red: otherwise. No frame around it: nothing was flown from this frame.</p>
<div class="grid">{cards}</div><p class="note">{told}</p></html>
"""
    (folder / PAGE).write_text(page, encoding="utf-8")


def _card(decision: Decision, colours: Mapping[str, str]) -> str:
    verdict = {None: "", True: " agrees", False: " differs"}[decision.agrees]
    flown = ""
    if decision.flown is not None:
        refused = ", refused" if decision.flown.refused else ""
        word = _word(decision.flown.manoeuvre, colours)
        flown = f"<p>flown {word}<br><code>{html.escape(decision.flown.words)}</code>{refused}</p>"
    return (
        f'<div class="card{verdict}"><img loading="lazy" alt="frame {decision.number}" src="{frame_file(decision)}">'
        f"<p><b>{decision.time_s:.1f} s</b> {_word(decision.manoeuvre, colours)}<br>"
        f"<code>{html.escape(decision.answer)}</code></p>{flown}"
        f'<p class="dim">{html.escape(decision.prompt)}<br>{decision.time_to_first_token_ms:.0f} ms · '
        f"{decision.seen.context_tokens} tokens · {html.escape(decision.frame.frame_id)}</p></div>"
    )


def _word(manoeuvre: str, colours: Mapping[str, str]) -> str:
    if not manoeuvre:
        return ""
    return f'<span class="word" style="background:{colours[manoeuvre]}">{html.escape(manoeuvre)}</span>'


def _confusion(report: OfflineReport) -> str:
    found = report.agreement
    if found is None:
        return ""
    decided = list(dict.fromkeys(name for counts in found.confusion.values() for name in counts))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in decided)
    rows = "".join(
        f"<tr><td>{html.escape(flown)}</td>" + "".join(f"<td>{counts.get(name, '')}</td>" for name in decided) + "</tr>"
        for flown, counts in found.confusion.items()
    )
    return f"<h2>Flown (rows) against decided</h2><table><tr><th></th>{head}</tr>{rows}</table>"


def _encoded(frame: Frame) -> bytes:
    assert frame.image.encoding in (ImageEncoding.JPEG, ImageEncoding.PNG), "recordings hold picture files"
    return frame.image.data
