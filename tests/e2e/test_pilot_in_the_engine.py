"""python -m pytest tests/e2e/test_pilot_in_the_engine.py -v

The pilot answers in the engine as it does in the plain forward passes it was trained with.
"""

from pathlib import Path

import numpy as np
import pytest

from stillwing_agent.core.prompting.prompts import CHOICES, decision_prompt, system_prompt, tool_call_schema
from stillwing_training.pilot.policy import WINDOW_FRAMES, load_pilot
from stillwing_training.pilot.tokenizer import goal_texts
from stillwing_vlm.core.catalog import ModelSource, pilot_directory
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.requests import AskRequest


@pytest.fixture(scope="module")
def directory() -> Path:
    return pilot_directory()


def test_it_answers_as_in_training(directory: Path) -> None:
    plain = load_pilot(directory)
    engine = LocalEngine.load(ModelSource(device="cpu", threads=1))
    session, text = engine.open(system_prompt()), engine.loaded.text
    names = [text.encode(call["name"]) for call in (CHOICES["forward"], CHOICES["left"], CHOICES["stop"])]
    assert all(len(ids) == 1 for ids in names)
    rng = np.random.default_rng(0)
    goal = goal_texts("red")[0]
    for count in range(1, WINDOW_FRAMES + 2):
        pixels = rng.integers(0, 256, (8, 10, 3), dtype=np.uint8).repeat(14, 0).repeat(14, 1)
        plain.observe(pixels)
        session.append(pixels)
        if count not in (1, 5, WINDOW_FRAMES + 1):
            continue
        _, wanted = plain.decide("red")
        request = AskRequest(decision_prompt(goal), json_schema=tool_call_schema())
        branch = session.fork(request)
        (logits,) = engine.loaded.backend.step(branch.rows())
        session.video.release(branch)
        found = logits[[ids[0] for ids in names]].double().softmax(-1).numpy()
        np.testing.assert_allclose(found, [wanted[0], wanted[1] + wanted[2], wanted[3]], atol=1e-4)
    assert session.evicted == []


def test_its_window_is_the_one_it_was_trained_with() -> None:
    session = LocalEngine.load(ModelSource(device="cpu", threads=1)).open(system_prompt())
    for _ in range(WINDOW_FRAMES + 5):
        session.append(np.zeros((240, 320, 3), np.uint8))
    assert len(session.video.trunk.window) == WINDOW_FRAMES
