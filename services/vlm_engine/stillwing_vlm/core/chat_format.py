"""How a loaded model is spoken to, as far as its callers have to know: templates, calls, ends, sampling, pointing.

It knows nothing of files, tokens or transports.
"""

from dataclasses import dataclass
from enum import Enum


class Pointing(Enum):
    """In which figures the models of a family give a place in a picture, first to the right, then down."""

    RESIZED_PIXELS = "resized_pixels"
    """Pixels of the picture as the model is shown it, after it was resized."""
    THOUSANDTHS = "thousandths"
    """Thousandths of width and height."""

    def to_fractions(self, right: float, down: float, shown_px: tuple[int, int]) -> tuple[float, float]:
        """Fractions of width and height, from 0 to 1 within the picture, of a place that a model names.

        `shown_px`: rows and columns of the picture as it was shown, `AppendResult.shown_px`.
        """
        rows, columns = (1000, 1000) if self is Pointing.THOUSANDTHS else shown_px
        return right / columns, down / rows

    def from_fractions(self, right: float, down: float, shown_px: tuple[int, int]) -> tuple[int, int]:
        """The figures for a place that is given in fractions of width and height."""
        rows, columns = (1000, 1000) if self is Pointing.THOUSANDTHS else shown_px
        return round(right * columns), round(down * rows)


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """How the model's own generation_config.json wants tokens chosen.

    `temperature` 0: the most probable one; `top_k` 0: of all; `repetition_penalty` 1: none.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0


GREEDY = SamplingDefaults()


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """What is known of a model's own way to converse.

    `templates`: the places of all chat templates in its directory; `template` writes tools and turns,
    `pictures_template` says what stands around pictures; `tools`: "template" where it knows tools, "common" where they
    are put into words around it. Without a usable template `problem` says why, and sessions have neither tools nor
    messages.
    """

    templates: tuple[str, ...] = ()
    template: str = ""
    pictures_template: str = ""
    tools: str = ""
    call_opening: str = ""
    """What stands before the name in a call."""
    call_closing: str = ""
    """What stands behind the arguments."""
    problem: str = ""
    end_tokens: tuple[str, ...] = ()
    """Tokens that end an answer."""
    sampling: SamplingDefaults = GREEDY
    pointing: Pointing | None = None
    """None where the engine does not know."""
    training_range: str = ""
    """JSON of the directory's stillwing.json: what the model was taught to do; empty where it has none."""
