"""python -m pytest tests/unit/rpc/test_error_docs.py

The page of errors lists every reason there is.
"""

import subprocess
import sys
from pathlib import Path

from stillwing_common.errors import error_classes

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_of_errors_is_current() -> None:
    script = ROOT / "scripts" / "generate_error_docs.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_reason_is_on_the_page() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    # Libraries that never answer over gRPC, airfield for one, keep errors of their own.
    shared = [reason for reason, kind in error_classes().items() if kind.__module__ == error_classes.__module__]
    assert [reason for reason in shared if f"| `{reason}` |" not in page] == []
