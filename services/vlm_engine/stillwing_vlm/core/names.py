"""Names that people give to what an engine keeps for them. Knows nothing of what is named."""

import re

from stillwing_common.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def check_name(name: str, what: str) -> None:
    """Raise InvalidInput for what is no plain name; `what` it would be the name of, as in "an export"."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{what}'s name has 1 to 64 letters, digits, '-' and '_' and begins with a letter or digit", name=name[:80]
        )
