"""python -m pytest tests/unit/bridge/test_safety_page.py -v

docs/safety.md tells the truth: its settings exist with the defaults it gives, and so do its errors and its tests.
"""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.settings import SimBridgeSettings
from stillwing_common.errors import error_classes

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")
SETTINGS = re.findall(r"`([a-z_0-9]+) = ([0-9.]+)`", PAGE)
ERRORS = [word for word in re.findall(r"`([A-Z][A-Z_]+)`", PAGE) if not word.startswith("STILLWING")]
TESTS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_the_page_names_enough_to_be_worth_checking() -> None:
    assert len(SETTINGS) >= 25
    assert len(set(ERRORS)) >= 15
    assert len(set(TESTS)) >= 35


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_a_setting_has_the_default_that_is_given(name: str, value: str) -> None:
    defaults = {field.name: field.default for field in fields(AirSimSettings)}
    defaults |= {key: field.default for key, field in SimBridgeSettings.model_fields.items()}
    assert defaults[name] == float(value)


@pytest.mark.parametrize("reason", sorted(set(ERRORS)))
def test_an_error_exists(reason: str) -> None:
    assert reason in error_classes()


@pytest.mark.parametrize(("path", "name"), sorted(set(TESTS)))
def test_a_test_exists(path: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
