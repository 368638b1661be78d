"""python -m pytest tests/unit/support/test_run_tests.py -v

The jobs of `make test`: a failure of any of them is seen and told, and what was interrupted leaves nothing running.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from run_summary import read_cases, write_summary
from run_tests import Job, Outcome, Runner, tell

CASES = """<testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="test_slow" time="2.5" />
<testcase classname="tests.unit.test_a" name="test_broken" time="0.5"><failure message="no">…</failure></testcase>
<testcase classname="tests.unit.test_a" name="test_absent" time="0"><skipped message="needs a card" /></testcase>
</testsuite></testsuites>"""

INTERRUPTED = """
import sys
from pathlib import Path
from run_tests import Job, Runner

sleep = ["sh", "-c", "echo started; sleep 600 & wait"]
Runner(Path("."), 1, {}).run(Job("shown", sleep), beside=[Job("first", sleep), Job("second", sleep)])
"""


def shell(name: str, script: str) -> Job:
    return Job(name, ["sh", "-c", script])


def test_a_job_that_fails_beside_others_is_told_whole(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runner = Runner(tmp_path, 7, {"OF_THE_RUN": "here"})
    beside = [shell("fails", "echo it was $OF_THE_RUN; exit 3"), shell("follows", "echo and after it")]
    runner.run(shell("shown", "echo seen at once"), beside=beside)
    assert {outcome.name: outcome.code for outcome in runner.outcomes} == {"shown": 0, "fails": 3, "follows": 0}
    assert "seen at once" in capfd.readouterr().out
    tell(runner.outcomes)
    told = capfd.readouterr().out
    assert told.index("and after it") < told.index("it was here")
    assert "FAILED" in told.splitlines()[-1] + told.splitlines()[-2] + told.splitlines()[-3]


def test_what_is_interrupted_leaves_nothing_running() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "support")}
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    process.stdout.readline()
    until_s = time.monotonic() + 30
    while len(started := psutil.Process(process.pid).children(recursive=True)) < 4 and time.monotonic() < until_s:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    process.stdout.close()
    _, left = psutil.wait_procs(started, timeout=30)
    assert len(started) == 4 and left == []


def test_a_page_tells_of_all_jobs(tmp_path: Path) -> None:
    (tmp_path / "tests.xml").write_text(CASES)
    assert [case.result for case in read_cases(tmp_path / "tests.xml", "tests")] == ["passed", "failed", "skipped"]
    page = tmp_path / "results" / "page.md"
    write_summary(page, "nightly", 7, [Outcome("tests", 1, 61.2), Outcome("check", 0, 5.0)], tmp_path)
    text = page.read_text()
    assert "| tests | 61 | FAILED | 1 | 1 | 1 |" in text
    assert "| check | 5 | passed |" in text
    assert "--seed 7" in text and "| needs a card | 1 |" in text
    assert text.index("test_slow") < text.rindex("test_broken")
