"""How much a run of the tests takes on: `ci`, minutes on two cores, or `nightly`, every test at its full size.

Named by STILLWING_TEST_PROFILE. docs/testing.md lists each test whose size differs.
"""

import os
from typing import TypeVar

from hypothesis import settings

Size = TypeVar("Size")

PROFILE = os.environ.get("STILLWING_TEST_PROFILE", "ci")

# Without a deadline of its own: how long an example takes says more of the machine's load than of the code.
settings.register_profile("ci", deadline=None)
settings.register_profile("nightly", deadline=None, max_examples=1000)
settings.load_profile(PROFILE)


def sized(*, ci: Size, nightly: Size) -> Size:
    """The size of this run's profile."""
    return {"ci": ci, "nightly": nightly}[PROFILE]


def pytest_report_header() -> str:
    """Which profile it is."""
    return f"profile: {PROFILE} (STILLWING_TEST_PROFILE)"
