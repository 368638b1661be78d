"""python -m pytest tests/unit/packaging/test_licences.py

Licences are read from what packages say of themselves, and one that nobody has looked at fails.
"""

import importlib.util
from importlib.metadata import Distribution
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


@pytest.fixture
def licences(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("licences", SCRIPTS / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(folder: Path, metadata: str, text: str = "") -> Distribution:
    """An installed package that says this of itself, with a file called LICENSE where `text` is given."""
    info = folder / "odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: odd\nVersion: 1.0\n{metadata}")
    (info / "RECORD").write_text("odd-1.0.dist-info/LICENSE.txt,,\n" if text else "")
    (info / "LICENSE.txt").write_text(text)
    return Distribution.at(info)


OSI = "Classifier: License :: OSI Approved :: "
SAYINGS = {
    "an expression": ("License-Expression: MIT OR Apache-2.0\nLicense: odd\n", "", "MIT OR Apache-2.0"),
    "a classifier": (f"License: whatever I like\n{OSI}MIT License\n", "", "MIT"),
    "a field that is clearer": (f"License: BSD-3-Clause\n{OSI}BSD License\n", "", "BSD-3-Clause"),
    "two classifiers": (f"{OSI}BSD License\n{OSI}Apache Software License\n", "", "Apache-2.0 OR BSD"),
    "a field alone": ("License: Apache 2.0\n", "", "Apache-2.0"),
    "a file alone": ("", "\n      Apache License\n   Version 2.0\n", "Apache-2.0"),
    "nothing": ("", "", ""),
}


@pytest.mark.parametrize("how", SAYINGS)
def test_it_reads(licences: ModuleType, tmp_path: Path, how: str) -> None:
    metadata, text, expression = SAYINGS[how]
    assert licences.licence(package(tmp_path, metadata, text)) == expression


def test_known_licences_pass_and_others_fail_by_name(licences: ModuleType) -> None:
    assert list(licences.faults("odd", "MIT AND (BSD-3-Clause OR Zlib)")) == []
    assert list(licences.faults("psycopg", "LGPL-3.0-only")) == []
    for name, said, complaint in (
        ("odd", "MIT AND AGPL-3.0-only", "nobody has looked at ['AGPL-3.0-only']"),
        ("odd", "Apache-2.0 WITH Commons-Clause", "nobody has looked at"),
        ("odd", "", "states no licence"),
        ("psycopg", "GPL-3.0-only", "was LGPL-3.0-only and is now GPL-3.0-only"),
    ):
        (fault,) = licences.faults(name, said)
        assert complaint in fault


def test_what_is_needed_to_fly_asks_for_no_more_than_a_library_may(licences: ModuleType) -> None:
    said = {name: licences.licence(each) for name, each in licences.packages(licences.FLYING).items()}
    assert len(said) > 60
    strict = {name: expression for name, expression in said.items() if "GPL" in expression}
    assert strict == {"psycopg": "LGPL-3.0-only", "psycopg-binary": "LGPL-3.0-only"}
