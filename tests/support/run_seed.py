"""One seed a run, fresh unless it is given: hypothesis draws from it, and so does every other test of a property.

It is printed in the header, and after a failure again; `--hypothesis-seed=N` repeats a run's choices. Workers of
pytest-xdist get the same.
"""

import random

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before hypothesis reads it."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))


def pytest_report_header(config: pytest.Config) -> str:
    """The seed, in the words that repeat it."""
    return f"seed: --hypothesis-seed={config.option.hypothesis_seed} repeats this run's random choices"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Again below the failures, where somebody looks."""
    if any(terminalreporter.stats.get(kind) for kind in ("failed", "error")):
        terminalreporter.write_line(pytest_report_header(config))


@pytest.fixture(scope="session")
def run_seed(pytestconfig: pytest.Config) -> int:
    """For tests that draw without hypothesis."""
    return int(pytestconfig.option.hypothesis_seed)
