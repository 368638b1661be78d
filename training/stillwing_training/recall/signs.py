"""Signs on a screen: a letter or digit in a colour, one after another. It knows nothing of models or engines."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from stillwing_vlm.core.inputs.images import Pixels

KEYS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
"""What a sign can show; no key comes twice within as many signs."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (225, 40, 40),
    "green": (40, 190, 60),
    "blue": (60, 90, 240),
    "yellow": (240, 225, 50),
    "pink": (240, 80, 210),
    "cyan": (60, 220, 225),
    "orange": (245, 140, 30),
    "white": (240, 240, 240),
}
COLOUR_NAMES = tuple(COLOURS)
NOT_SEEN = "none"
"""The right answer where the sign asked for is not to be seen."""

SIDE_PX = 56
_GLYPH_PX = 44
_JITTER_PX = 6
_RGB = np.array(list(COLOURS.values()), np.float32)

SYSTEM_TEXT = "Remember the signs."
FIRST_QUESTION = "What colour was first?"


def question(key: int) -> str:
    """The question for the colour of a sign; `key` is its place in `KEYS`."""
    return f"What colour was {KEYS[key]}?"


@dataclass(frozen=True, slots=True)
class Signs:
    """Signs in the order shown: places in `KEYS` and in `COLOUR_NAMES`, int64[n] each."""

    keys: npt.NDArray[np.int64]
    colours: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)


def draw_signs(count: int, rng: np.random.Generator, keys: int = len(KEYS)) -> Signs:
    """`count` signs; `keys` keys go round in one shuffled order, so that each comes back after `keys` signs."""
    order = rng.permutation(len(KEYS))[:keys]
    return Signs(order[np.arange(count) % keys].astype(np.int64), rng.integers(0, len(COLOURS), count))


@lru_cache(maxsize=1)
def _glyphs() -> npt.NDArray[np.float32]:
    """Coverage float32[keys, side, side] of each key, centred."""
    font: Any = ImageFont.load_default(_GLYPH_PX)
    found = []
    for key in KEYS:
        picture = PilImage.new("L", (SIDE_PX, SIDE_PX))
        ImageDraw.Draw(picture).text((SIDE_PX / 2, SIDE_PX / 2), key, fill=255, font=font, anchor="mm", stroke_width=1)
        found.append(np.asarray(picture, np.float32) / 255)
    return np.stack(found)


def render(signs: Signs, rng: np.random.Generator) -> Pixels:
    """A frame `uint8[n, side, side, 3]` of each sign, each a little shifted, on a dark wall of its own, with noise."""
    glyphs = np.pad(_glyphs()[signs.keys], ((0, 0), (_JITTER_PX, _JITTER_PX), (_JITTER_PX, _JITTER_PX)))
    shifts = rng.integers(0, 2 * _JITTER_PX + 1, (len(signs), 2))
    cover = np.stack([glyph[y : y + SIDE_PX, x : x + SIDE_PX] for glyph, (y, x) in zip(glyphs, shifts, strict=True)])[
        ..., None
    ]
    wall = rng.uniform(10, 80, (len(signs), 1, 1, 1)).astype(np.float32)
    light = rng.uniform(0.8, 1.05, (len(signs), 1, 1, 1)).astype(np.float32)
    frames = wall + cover * (_RGB[signs.colours][:, None, None, :] * light - wall)
    frames += rng.standard_normal(frames.shape, dtype=np.float32) * 5
    found: Pixels = np.clip(frames, 0, 255).astype(np.uint8)
    return found
