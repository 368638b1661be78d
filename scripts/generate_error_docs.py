"""Writes docs/errors.md: every reason, its status code, what it means, whether trying again may help.

python scripts/generate_error_docs.py            # write
python scripts/generate_error_docs.py --check    # exit code 1 if the page is not current
"""

import sys
from pathlib import Path

from stillwing_common.errors import StillwingError, error_classes
from stillwing_rpc.errors import STATUS_OF_KIND, status_code

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"

HEAD = """# Errors

Made by `python scripts/generate_error_docs.py` from `stillwing_common/errors/`; not edited by hand.

A refused call ends with a gRPC status whose details hold one `google.rpc.ErrorInfo`: `reason` is the word below and
never changes its meaning, `domain` is `<area>.stillwing`, and `metadata` repeats every changing part of the message for
programs. Inside a stream that goes on, the same status travels in an event. "Again" says whether the same request may
succeed later without anything else being changed.
"""


def page() -> str:
    """The whole page."""
    sections = [HEAD]
    for kind, code in STATUS_OF_KIND.items():
        members = [cls for cls in error_classes().values() if issubclass(cls, kind)]
        sections.append(f"## {kind.__name__} · {code.name}\n\n| Reason | Meaning | Again |\n|---|---|---|\n")
        sections[-1] += "".join(f"{_row(cls)}\n" for cls in members)
    return "\n".join(sections)


def _row(cls: type[StillwingError]) -> str:
    assert status_code(cls)
    return f"| `{cls.reason}` | {cls.sentence()}. | {'yes' if cls.retryable else 'no'} |"


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` say whether it is current."""
    wanted = page()
    if "--check" in arguments:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted
        if not current:
            print("docs/errors.md is not current; run: python scripts/generate_error_docs.py", file=sys.stderr)
        return 0 if current else 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
