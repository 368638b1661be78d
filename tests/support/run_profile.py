"""How much a run of the tests takes on: `ci`, minutes on two cores, or `nightly`, every test at its full size.

Named by STILLWING_TEST_PROFILE. docs/testing.md lists each test whose size differs.
"""

import os
from typing import TypeVar

Size = TypeVar("Size")

PROFILES = ("ci", "nightly")
PROFILE = os.environ.get("STILLWING_TEST_PROFILE", "ci")


def sized(*, ci: Size, nightly: Size) -> Size:
    """The size of this run's profile."""
    return {"ci": ci, "nightly": nightly}[PROFILE]
