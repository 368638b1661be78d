"""What a model check leaves behind: lines for a terminal, JSON, and a page with every picture and where was pointed.

It knows nothing of how anything was measured.
"""

import html
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from stillwing_lab.model_check.library import Agreement
from stillwing_lab.model_check.pictures import KnownPicture
from stillwing_lab.model_check.probes import ProbeResult
from stillwing_lab.model_check.speeds import Speed

PAGE, FIGURES, PICTURES = "report.html", "report.json", "pictures"
_KINDS = (("text", "questions in words"), ("tool", "tool calls"), ("pointing", "places in pictures"))

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#20242a;
background:#fbfbf9}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:1.6rem}table{border-collapse:collapse;
font-size:.92rem}td,th{padding:.15rem 1rem .15rem 0;border-bottom:1px solid #e6e6e0;text-align:left;
vertical-align:top}.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:.9rem}
.card{border:1px solid #ddd;border-radius:.4rem;overflow:hidden;background:#fff;font-size:.84rem}
.card img{width:100%;display:block}.card p{margin:.3rem .6rem;word-break:break-word}
.wrong{color:#c0392b}.right{color:#1f8f4d}.note{color:#666}
"""


@dataclass(slots=True, frozen=True)
class ModelReport:
    """Everything found out about one model on one machine. `about` and `conditions` are plain JSON values."""

    about: dict[str, Any]
    agreement: Agreement
    speeds: list[Speed]
    advice: Speed
    probes: list[ProbeResult]
    conditions: dict[str, Any]

    @property
    def held(self) -> bool:
        """Whether the engine computes what the published code does; how clever a model is, is nothing to fail by."""
        return self.agreement.holds

    def counts(self) -> dict[str, tuple[int, int]]:
        """Right answers, and questions, of each kind."""
        found = {}
        for kind, _ in _KINDS:
            mine = [probe.is_right for probe in self.probes if probe.kind == kind]
            found[kind] = (sum(mine), len(mine))
        return found

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "held": self.held,
            "about": self.about,
            "agreement": asdict(self.agreement) | {"holds": self.agreement.holds},
            "speeds": [asdict(speed) for speed in self.speeds],
            "take": {"way": self.advice.way, "flags": self.advice.flags},
            "right": {kind: {"right": right, "of": of} for kind, (right, of) in self.counts().items()},
            "probes": [asdict(probe) for probe in self.probes],
            "conditions": self.conditions,
        }

    def lines(self) -> list[tuple[str, str]]:
        """Name and value of everything, without the single probes."""
        agreement = self.agreement
        verdict = "agrees" if agreement.holds else "DOES NOT AGREE"
        token = "the same" if agreement.same_token else "another"
        lines = [(name, str(value)) for name, value in self.about.items()]
        lines.append(
            (
                f"beside {agreement.library}",
                f"{verdict}: scores differ by {agreement.share:.2g} of their spread, of {agreement.allowed:g} allowed; "
                f"{token} first token",
            )
        )
        lines += [(f"way: {speed.way}", _speed(speed)) for speed in self.speeds]
        lines.append(("take", f"{self.advice.flags}   ({self.advice.way})"))
        lines += [(words, "{} of {} right".format(*self.counts()[kind])) for kind, words in _KINDS]
        return lines

    def save(self, folder: Path, pictures: list[KnownPicture]) -> None:
        """Write `report.html`, `report.json` and `pictures/`."""
        (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        (folder / FIGURES).write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        pointed = [probe for probe in self.probes if probe.kind == "pointing"]
        for number, (picture, probe) in enumerate(zip(pictures, pointed, strict=True)):
            _marked(picture, probe).save(folder / PICTURES / f"{number:02}.jpg", quality=88)
        (folder / PAGE).write_text(self._page(pointed), encoding="utf-8")

    def _page(self, pointed: list[ProbeResult]) -> str:
        title = html.escape(f"{self.about['model']} on {self.about['device']}")
        told = [(html.escape(name), html.escape(value)) for name, value in self.lines()]
        rows = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in told)
        asked = "".join(_row(probe) for probe in self.probes if probe.kind != "pointing")
        cards = "".join(_card(number, probe) for number, probe in enumerate(pointed))
        where = " · ".join(html.escape(f"{name} {value}") for name, value in self.conditions.items())
        return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1><table>{rows}</table>
<h2>Questions</h2><table><tr><th>asked</th><th>right is</th><th>answered</th></tr>{asked}</table>
<h2>Places</h2><p class="note">White ring: the thing's middle. Red cross: where the model pointed.</p>
<div class="grid">{cards}</div><p class="note">{where}</p></html>
"""


def _speed(speed: Speed) -> str:
    if speed.decision_ms is None:
        return speed.reason
    exact = ", less exact" if speed.rounds else ""
    return (
        f"append {speed.append_ms:g} ms, first token {speed.first_token_ms:g} ms, decision {speed.decision_ms:g} ms "
        f"behind {speed.window_tokens} tokens{exact}"
    )


def _marked(picture: KnownPicture, probe: ProbeResult) -> Image.Image:
    image = Image.fromarray(picture.pixels)
    pen = ImageDraw.Draw(image)
    right, down = picture.middle()
    x, y = right * image.width, down * image.height
    pen.ellipse((x - 14, y - 14, x + 14, y + 14), outline="white", width=3)
    if probe.place is not None:
        x, y = (max(-1e4, min(1e4, share * size)) for share, size in zip(probe.place, image.size, strict=True))
        pen.line((x - 12, y - 12, x + 12, y + 12), fill="#d1103a", width=4)
        pen.line((x - 12, y + 12, x + 12, y - 12), fill="#d1103a", width=4)
    return image


def _row(probe: ProbeResult) -> str:
    style = "right" if probe.is_right else "wrong"
    return (
        f"<tr><td>{html.escape(probe.question)}</td><td>{html.escape(probe.wanted)}</td>"
        f'<td class="{style}">{html.escape(probe.answer)}</td></tr>'
    )


def _card(number: int, probe: ProbeResult) -> str:
    style = "right" if probe.is_right else "wrong"
    miss = "no place" if probe.miss is None else f"{probe.miss:.0%} of the width away" if probe.miss else "on it"
    return (
        f'<div class="card"><img loading="lazy" alt="picture {number}" src="{PICTURES}/{number:02}.jpg">'
        f'<p class="{style}">{html.escape(probe.answer)}: {miss}</p>'
        f"<p>{html.escape(probe.question)} Right is {html.escape(probe.wanted)}.</p></div>"
    )
