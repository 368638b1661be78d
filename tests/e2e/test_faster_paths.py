"""python -m pytest tests/e2e/test_faster_paths.py -v

Faster paths that are asked for by flag, proved before an engine is used: a sound one is taken; one that raises,
differs, hangs or takes its process along is left for the plain one, and log and GetModel say so. What is broken is an
engine of another package, registered by entry point as any package's would be.
"""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from run_profile import sized

from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.convert.info import model_from_wire, model_to_wire
from stillwing_vlm.core.catalog import (
    AttentionKind,
    Decoding,
    Dtype,
    KvCacheDtype,
    ModelSource,
    WeightDtype,
    load_engine,
)
from stillwing_vlm.core.proof.conversation import deviation, record
from stillwing_vlm.core.proof.paths import candidates, prove, unproved
from stillwing_vlm.core.requests import AskRequest, SessionConfig

pytestmark = pytest.mark.e2e

BROKEN = """
import json
import os
import time

from stillwing_vlm.core.engines.loading import load_model as load_sound_model
from stillwing_vlm.core.engines.qwen_vl import QwenVlBackend

BREAKS = json.loads(os.environ["BREAKS"])


class Broken(QwenVlBackend):
    def advance(self, rows):
        used = {"weight_dtype": self.weight_dtype == "int8", "attention": self.attention == "llvm",
                "decoding": self.decoding == "static"}
        for setting, how in BREAKS.items():
            if used[setting]:
                if how == "raises":
                    raise RuntimeError("an illegal memory access was encountered")
                if how == "hangs":
                    time.sleep(1000)
                if how == "aborts":
                    os.abort()
                if how == "differs":
                    for row in rows:
                        row.positions = row.positions + row.positions % 2
        return super().advance(rows)


def load_model(directory, **how):
    found = load_sound_model(directory / "sound", **how)
    found.backend.__class__ = Broken
    return found
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Weights of the usual size: large ones would make 8 bits another model.
    return write_tiny_model(tmp_path_factory.mktemp("models") / "model", initializer_range=0.05)


@pytest.fixture(scope="module")
def broken(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of a family that another package brings, and the folder with that package."""
    model, packages = tmp_path_factory.mktemp("broken-model"), tmp_path_factory.mktemp("packages")
    (model / "sound").symlink_to(sound)
    (model / "config.json").write_text(json.dumps({"model_type": "broken_vl"}))
    (packages / "broken_engine.py").write_text(BROKEN)
    told = packages / "broken_engine-1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-engine\nVersion: 1\n")
    (told / "entry_points.txt").write_text("[stillwing.engines]\nbroken_vl = broken_engine:load_model\n")
    return model, packages


def test_a_sound_path_holds_the_same_conversation(sound: Path) -> None:
    source = ModelSource(str(sound), device="cpu", threads=1)
    plain = record(load_engine(source))
    assert plain.evicted_frames >= 6 and len(plain.answers) == 6
    assert all(len(answer) > 1 for answer in plain.answers)
    again = deviation(load_engine(source), plain, 0.0)
    # One answer alone rounds otherwise than two beside each other.
    assert again.worst_share < 1e-6 and again.other_token == "" and again.choices == 30
    other = deviation(
        load_engine(ModelSource(str(sound), device="cpu", threads=1, seed=1, random_weights=True)), plain, 2e-3
    )
    assert other.worst_share > 0.5 and "answer 1 after 4 chunks" in other.other_token


def test_what_has_to_prove_itself_is_what_was_asked_for() -> None:
    assert (
        candidates(ModelSource(device="cpu"))
        == []
        == candidates(ModelSource(device="cpu", attention=AttentionKind.SDPA))
    )
    asked = ModelSource(
        device="cpu", weight_dtype=WeightDtype.INT8, kv_cache_dtype=KvCacheDtype.FP8, decoding=Decoding.STATIC,
        attention=AttentionKind.LLVM,
    )  # fmt: skip
    assert [each.setting for each in candidates(asked)] == ["weight_dtype", "attention", "kv_cache_dtype", "decoding"]
    (exact,) = candidates(ModelSource(device="cpu", decoding=Decoding.STATIC))
    (rounded,) = candidates(ModelSource(device="cpu", decoding=Decoding.STATIC, dtype=Dtype.BFLOAT16))
    assert exact.bound < rounded.bound
    assert prove(ModelSource(device="cpu"), 1) == (ModelSource(device="cpu"), ())
    assert [(each.is_taken, each.reason) for each in unproved(asked)] == [(True, "not proved: switched off")] * 4


def test_on_a_card_flash_attn_is_tried_by_itself_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "flash_attn" else None)
    assert [each.value for each in candidates(ModelSource(device="cuda"))] == [AttentionKind.FLASH]
    assert candidates(ModelSource(device="cuda", attention=AttentionKind.SDPA)) == []
    assert candidates(ModelSource(device="cpu")) == []


FLAGS = ["--weight-dtype", "int8", "--attention", "llvm", "--decoding", "static"]


@contextmanager
def started(model: Path, log: Path, *flags: str, **environment: str) -> Iterator[str]:
    """An engine's process; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "stillwing_vlm", "--port", str(port), "--model", str(model), "--device", "cpu"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, *flags], stdout=out, stderr=out, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment
        )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


async def served(address: str) -> dict[str, tuple[bool, str]]:
    """What became of each path, as GetModel says it; and the engine answers."""
    engine = await RemoteEngine.connect(address, wait_s=120)
    info = await engine.model_info()
    session = await engine.open_session(SessionConfig())
    assert (await session.ask(AskRequest("Ready?", max_tokens=4)).done()).answer_tokens
    await engine.close()
    used = {"weight_dtype": info.weight_dtype, "attention": info.attention, "decoding": info.decoding}
    for proof in info.path_proofs:
        assert (used[proof.setting] == proof.wanted) == proof.is_taken
    return {proof.setting: (proof.is_taken, proof.reason) for proof in info.path_proofs}


SAYS = {
    "": "same tokens",
    "raises": "raised RuntimeError('an illegal memory access",
    "differs": "scores differ by",
    "hangs": "gave no answer within",
    "aborts": "ended its process with -6",
}


DEADLINE_S = 10.0
"""Ten times what a sound path takes, as the machine may be busy."""

BREAKS = sized(
    ci=[{"weight_dtype": "raises", "decoding": "hangs"}],
    nightly=[{}, {"weight_dtype": "raises", "decoding": "hangs"}, {"attention": "aborts", "decoding": "differs"}],
)


@pytest.mark.parametrize("breaks", BREAKS, ids=str)
@pytest.mark.parametrize("served_by", sized(ci=["library"], nightly=["library", "service"]))
async def test_broken_paths_are_left_and_told(
    broken: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    breaks: dict[str, str],
    served_by: str,
) -> None:
    """And sound ones beside them are taken, also those that come after one that took its process along."""
    model, packages = broken
    monkeypatch.setenv("BREAKS", json.dumps(breaks))
    if served_by == "library":
        monkeypatch.syspath_prepend(packages)
        wanted = ModelSource(
            str(model), device="cpu", threads=1, weight_dtype=WeightDtype.INT8, attention=AttentionKind.LLVM,
            decoding=Decoding.STATIC,
        )  # fmt: skip
        source, proofs = prove(wanted, DEADLINE_S)
        for proof in proofs:
            assert (getattr(source, proof.setting) is getattr(wanted, proof.setting)) == proof.is_taken
        info = model_from_wire(model_to_wire(load_engine(source, path_proofs=proofs).info()))
        assert info.path_proofs == proofs and info.weight_dtype == ("float32" if "weight_dtype" in breaks else "int8")
        found = {proof.setting: (proof.is_taken, proof.reason) for proof in proofs}
    else:
        log = tmp_path / "log"
        how = {
            "PYTHONPATH": os.pathsep.join((str(packages), os.environ.get("PYTHONPATH", ""))),
            "STILLWING_VLM_PROOF_DEADLINE_S": str(DEADLINE_S),
        }
        with started(model, log, *FLAGS, **how) as address:
            found = await served(address)
        said = log.read_text()
        assert said.count("path.left") == len(breaks) and said.count("path.taken") == 3 - len(breaks)
    assert list(found) == ["weight_dtype", "attention", "decoding"]
    for setting, (is_taken, reason) in found.items():
        assert is_taken == (setting not in breaks)
        assert reason.startswith(SAYS[breaks.get(setting, "")])
