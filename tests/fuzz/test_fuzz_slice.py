"""python -m pytest tests/fuzz/test_fuzz_slice.py

A short slice of `make fuzz` for every run of the tests: the same targets, inputs drawn by hypothesis.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
import targets
from run_profile import PROFILE

EXAMPLES = {
    "recording_files": 150, "airsim_replies": 400, "picture_folders": 250, "videos": 100, "certificate_folders": 100,
    "command_lines": 150, "lab_command_lines": 50, "client_arguments": 400, "schemas": 400,
}  # fmt: skip
NIGHTLY = {"lab_command_lines"}
"""What needs torch is fuzzed in nightly runs alone."""
NAMES = [name for name in targets.TARGETS if PROFILE == "nightly" or name not in NIGHTLY]
KNOWN = {
    "airsim_requests": [
        b"\x00" + bytes.fromhex("94000164") + b"\xc4\x02\xff\xfe\x90",
        b"\x00" + bytes.fromhex("940001") + b"\xa4p\xffng\x90",  # a name that is no text once broke the answer
        b"\x00" + b"\xdd\xff\xff\xff\xff" * 100,  # lists in lists that say they are long
        b"\x00" + b"\x81\x80\x00",  # a map as a key
    ],
    "airsim_replies": [b"\x00" + b"\x81\x80\x00", b"\x00" + b"\x94\x01\x91\x00\xc0\xc0", b"\xff", b"\xff" + bytes(20)],
}
"""Inputs that broke something once, or nearly."""


@pytest.fixture(scope="module", params=NAMES)
def target(request: pytest.FixtureRequest) -> Iterator[tuple[str, targets.Target]]:
    make, _, _ = targets.TARGETS[request.param]
    with ExitStack() as stack:
        yield request.param, make(stack)


def test_no_bytes_break_it(target: tuple[str, targets.Target]) -> None:
    name, run = target
    for data in KNOWN.get(name, []):
        run(data)

    @settings(
        max_examples=EXAMPLES.get(name, 1000), deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.one_of(st.binary(max_size=60), st.binary(min_size=20, max_size=300)))
    def try_out(data: bytes) -> None:
        run(data)

    try_out()


def test_every_target_has_its_share() -> None:
    assert sum(share for _, share, _ in targets.TARGETS.values()) == pytest.approx(1.0)
