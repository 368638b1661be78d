"""The two dialects of AirSim's wire that airfield speaks, and where they differ. It knows no call's meaning.

Microsoft's calls about cameras end in `external`; Cosys-AirSim's do not, some of them end in an annotation's name, and
its raw pixels are R,G,B where Microsoft's are B,G,R.
"""

from dataclasses import dataclass
from enum import StrEnum


class Dialect(StrEnum):
    """Whose server is spoken."""

    MS = "ms"
    COSYS = "cosys"


@dataclass(frozen=True, slots=True)
class Traits:
    """What depends on the dialect.

    Attributes:
        version: Answer of getServerVersion and getMinRequiredClientVersion.
        has_external: Camera calls take `external`.
        has_annotations: Image calls take the name of an annotation, objects' poses whether they are NED.
        blue_first: Raw pixels are B,G,R.
    """

    version: int
    has_external: bool
    has_annotations: bool
    blue_first: bool


TRAITS: dict[Dialect, Traits] = {
    Dialect.MS: Traits(1, has_external=True, has_annotations=False, blue_first=True),
    Dialect.COSYS: Traits(4, has_external=False, has_annotations=True, blue_first=False),
}
