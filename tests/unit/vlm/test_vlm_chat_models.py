"""python -m pytest tests/unit/vlm/test_vlm_chat_models.py -v

What stands beside the weights in a model's directory, as the engine reads it: templates, ends of answers, sampling,
figures of pictures; and that the shipped pilot reads what it was trained on.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chat_templates import BOTH, PICTURES, TOOLS, published_files, write_chat_model
from tokenizers import Tokenizer
from transformers import (
    AutoModelForImageTextToText,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2VLImageProcessor,
)
from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor, TopKLogitsWarper, TopPLogitsWarper
from vlm_frames import frame

from stillwing_agent.core.prompting.prompts import decision_prompt, system_prompt
from stillwing_common.errors import ModelNotUsable
from stillwing_lab.tiny_model import tiny_config, write_tiny_model
from stillwing_vlm.core.backend import Choosing, Repeats
from stillwing_vlm.core.catalog import Decoding, ModelSource, load_engine, pilot_directory
from stillwing_vlm.core.chat_format import Pointing, SamplingDefaults
from stillwing_vlm.core.conversation import AssistantTurn, Tool, ToolCall, ToolCallFormat, ToolTurn, UserTurn
from stillwing_vlm.core.engines.qwen.sampling import choose
from stillwing_vlm.core.inputs.generation import GenerationConfig, read_generation
from stillwing_vlm.core.inputs.text import ChatText
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.requests import AskRequest, ModelSampling, Sampling

LOOK = Tool("look", "Asks.", '{"type": "object", "properties": {"question": {"enum": ["left?", "right?"]}}}')
TURNS = (UserTurn("Find it."), AssistantTurn("Hm.", (ToolCall("look"),)), ToolTurn("There."), UserTurn("Next?"))

FAMILY_CHATS = {
    "qwen2_vl": ("chat_template.json", "common", Pointing.THOUSANDTHS),
    "qwen2_5_vl": ("tokenizer_config.json", "template", Pointing.RESIZED_PIXELS),
    "qwen3_vl": ("chat_template.jinja", "template", Pointing.THOUSANDTHS),
}


@pytest.fixture(scope="module", params=FAMILY_CHATS)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def directory(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chat_model(tmp_path_factory.mktemp(family) / "model", family)


@pytest.fixture(scope="module")
def engine(directory: Path) -> LocalEngine:
    return LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1))


@pytest.fixture
def qwen(tmp_path: Path) -> Path:
    return write_chat_model(tmp_path / "model", "qwen2_5_vl")


def loaded_from(directory: Path, **source: Any) -> LocalEngine:
    return LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1, **source))


# Each family


def test_a_family_converses_by_its_own_templates(engine: LocalEngine, family: str) -> None:
    chat = engine.info().chat
    assert (chat.template, chat.tools, chat.pointing) == FAMILY_CHATS[family]
    assert chat.pictures_template == ("chat_template.jinja" if family == "qwen3_vl" else "chat_template.json")
    assert (chat.sampling, chat.training_range, chat.problem) == (SamplingDefaults(), "", "")
    session = engine.open("You fly.", 2000, tools=(LOOK,))
    session.append(frame(0))
    for most in (0, 6):
        done = session.ask(TURNS, answer_format=ToolCallFormat(max_thought_tokens=most), max_tokens=120)
        assert done.tool_call is not None and done.tool_call.name == "look"
        assert done.text.endswith("\n</tool_call>")


def test_a_conversation_is_read_as_the_published_model_reads_it(engine: LocalEngine, directory: Path) -> None:
    """Logits after opening and question, beside transformers' over the same ids in one pass."""
    loaded = engine.loaded
    session = engine.open("You fly.", 2000, tools=(LOOK,))
    branch = session.fork(AskRequest(messages=TURNS))
    ours = torch.cat([logits[None] for logits in _last(engine, branch)])[-1]
    session.video.release(branch)
    ids = [
        *loaded.preparer.opening("You fly.", (LOOK,)),
        *loaded.preparer.ask(AskRequest(messages=TURNS), session.video.config.briefing).question_ids,
    ]
    model = AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.float32).eval()
    with torch.inference_mode():
        theirs = model(input_ids=torch.tensor([ids])).logits[0, -1]
    assert (ours - theirs).abs().max() < 1e-3


def _last(engine: LocalEngine, branch: Any) -> list[torch.Tensor]:
    logits: list[torch.Tensor] = []
    while True:
        rows = branch.rows()
        logits = engine.loaded.backend.step(rows)
        if rows[-1].choosing is not None:
            return logits


def test_the_models_own_sampling_is_that_of_transformers(family: str, tmp_path: Path) -> None:
    """Greedy with a repetition penalty, over opening, question and answer."""
    directory = write_chat_model(tmp_path / "model", family)
    (directory / "generation_config.json").write_text('{"repetition_penalty": 1.7, "eos_token_id": 2}')
    engine = loaded_from(directory)
    session = engine.open("You fly.", 2000, tools=(LOOK,))
    answer = session.ask(TURNS, max_tokens=12, sampling=ModelSampling())
    preparer, briefing = engine.loaded.preparer, session.video.config.briefing
    prepared = preparer.ask(AskRequest(messages=TURNS, sampling=ModelSampling()), briefing)
    assert prepared.penalty == 1.7 and prepared.sampling is None
    ids = [*preparer.opening("You fly.", (LOOK,)), *prepared.question_ids]
    assert list(prepared.text_ids) == ids
    model = AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.float32).eval()
    with torch.inference_mode():
        written = model.generate(
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            do_sample=False,
            max_new_tokens=12,
        )[0, len(ids) :].tolist()
    ended = [token for token in written if token not in engine.loaded.text.end_ids]
    assert answer.text == engine.loaded.text.decode(ended)
    assert answer.text != session.ask(TURNS, max_tokens=12).text


def test_the_published_files_converse(tmp_path: Path) -> None:
    """The published tokenizer and templates, over an architecture of a few thousand weights."""
    folder = published_files()
    if folder is None:
        pytest.skip("the published files of Qwen2.5-VL-3B are not there; STILLWING_QWEN2_5_VL_3B names their folder")
    subprocess.run([sys.executable, str(folder / "build_tokenizer.py"), str(tmp_path)], check=True)
    vision, tools = ((folder / f"chat_template_{kind}.jinja").read_text() for kind in ("vision", "tools"))
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": vision}))
    names = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**names, "chat_template": tools}))
    shutil.copy(folder / "preprocessor_config.json", tmp_path)
    tiny_config(Tokenizer.from_file(str(tmp_path / "tokenizer.json")), "qwen2_5_vl").save_pretrained(tmp_path)
    engine = loaded_from(tmp_path, random_weights=True)
    chat = engine.info().chat
    assert (chat.template, chat.pictures_template) == ("tokenizer_config.json", "chat_template.json")
    assert (chat.tools, chat.pointing) == ("template", Pointing.RESIZED_PIXELS)
    session = engine.open("You fly.", 4000, tools=(LOOK,))
    shown_px = session.append(frame(0, 640, 480)).shown_px
    assert shown_px == (476, 644)
    for sampling in (None, Sampling(1.5, seed=1)):
        wanted = ToolCallFormat(max_thought_tokens=12)
        done = session.ask(TURNS, answer_format=wanted, max_tokens=90, sampling=sampling)
        assert done.tool_call is not None and done.tool_call.name == "look"
        assert done.text == (f"{done.thought}\n" if done.thought else "") + (
            f'<tool_call>\n{{"name": "look", "arguments": {json.dumps(done.tool_call.values())}}}\n</tool_call>'
        )
    assert 151657 not in engine.loaded.text.question("<tool_call>")


# Sampling


def test_a_repetition_costs_what_it_costs_in_transformers() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(60, generator=draw)
    seen = np.array([3, 3, 7, 50, 0], np.int64)
    for penalty in (0.5, 1.3, 4.0):
        theirs = RepetitionPenaltyLogitsProcessor(penalty)(torch.from_numpy(seen)[None], logits[None].clone())
        assert int(choose(logits, Choosing(repeats=Repeats(penalty, seen)))) == int(theirs.argmax())
        allowed = np.zeros(60, np.bool_)
        allowed[[0, 3, 7, 50, 51]] = True
        masked = theirs[0].masked_fill(torch.from_numpy(~allowed), float("-inf"))
        assert int(choose(logits, Choosing(allowed, repeats=Repeats(penalty, seen)))) == int(masked.argmax())


@pytest.mark.parametrize(("top_k", "top_p"), [(1, 1.0), (5, 1.0), (5, 0.6), (500, 0.9)])
def test_of_the_most_probable_tokens_one_is_drawn_as_in_transformers(top_k: int, top_p: float) -> None:
    logits = 2 * torch.randn(80, generator=torch.Generator().manual_seed(1))
    scores = TopPLogitsWarper(top_p)(None, TopKLogitsWarper(top_k)(None, logits[None] / 0.7))
    theirs = scores.softmax(-1)[0].double().numpy()
    sampling = Sampling(0.7, top_p, 0, top_k)
    drawn = [int(choose(logits, Choosing(None, sampling, (at + 0.5) / 4000))) for at in range(4000)]
    np.testing.assert_allclose(np.bincount(drawn, minlength=80) / 4000, theirs, atol=5e-4)


def test_static_steps_leave_to_others_what_they_hold_no_buffers_for(qwen: Path) -> None:
    """The same answers, drawn and penalised, however steps are carried out."""
    (qwen / "generation_config.json").write_text(
        '{"do_sample": true, "temperature": 0.9, "top_k": 4, "repetition_penalty": 1.4}'
    )
    answers = []
    for decoding in (Decoding.EAGER, Decoding.STATIC):
        session = loaded_from(qwen, decoding=decoding).open("You fly.", 2000, tools=(LOOK,))
        session.append(frame(0))
        answers.append(
            [
                session.ask(TURNS, max_tokens=20, sampling=sampling).text
                for sampling in (None, ModelSampling(1), Sampling(0.9, 1.0, 5, 3), Sampling(0.9, 0.9, 5))
            ]
        )
    assert answers[0] == answers[1] and len(set(answers[0])) > 2


# generation_config.json


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({}, GenerationConfig()),
        ({"eos_token_id": 7}, GenerationConfig(frozenset((7,)))),
        ({"eos_token_id": [7, 8]}, GenerationConfig(frozenset((7, 8)))),
        ({"temperature": 0.3, "top_k": 2}, GenerationConfig()),
        ({"do_sample": False, "repetition_penalty": 1.05}, GenerationConfig(None, SamplingDefaults(0, 1, 0, 1.05))),
        ({"do_sample": True}, GenerationConfig(None, SamplingDefaults(1.0, 1.0, 50, 1.0))),
        (
            {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20},
            GenerationConfig(None, SamplingDefaults(0.7, 0.8, 20, 1.0)),
        ),
        ({"do_sample": True, "temperature": 0}, GenerationConfig()),
        (
            {"do_sample": True, "temperature": None, "top_p": None, "top_k": 0},
            GenerationConfig(None, SamplingDefaults(1)),
        ),
    ],
)
def test_how_a_model_wants_to_be_sampled(tmp_path: Path, content: dict[str, Any], wanted: GenerationConfig) -> None:
    assert read_generation(tmp_path) == GenerationConfig()
    (tmp_path / "generation_config.json").write_text(json.dumps(content))
    assert read_generation(tmp_path) == wanted


@pytest.mark.parametrize(
    "content",
    [
        {"eos_token_id": "2"},
        {"eos_token_id": []},
        {"eos_token_id": [2, -1]},
        {"eos_token_id": True},
        {"do_sample": True, "temperature": "warm"},
        {"do_sample": True, "temperature": -1},
        {"top_p": 1.5},
        {"top_k": -3},
        {"repetition_penalty": 0},
        {"repetition_penalty": True},
    ],
)
def test_figures_that_cannot_be_meant_are_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(content))
    with pytest.raises(ModelNotUsable, match=r"generation_config\.json is not valid"):
        read_generation(tmp_path)


def test_answers_end_with_the_tokens_that_the_model_names(qwen: Path) -> None:
    path = qwen / "generation_config.json"
    path.unlink()
    assert loaded_from(qwen).info().chat.end_tokens == ("<|endoftext|>", "<|im_end|>")
    path.write_text('{"eos_token_id": [2, 5]}')
    engine = loaded_from(qwen)
    assert engine.info().chat.end_tokens == ("<|im_end|>", "<|vision_pad|>")
    path.write_text('{"eos_token_id": 5000}')
    with pytest.raises(ModelNotUsable, match="token 5000"):
        loaded_from(qwen)
    path.write_text("{")
    with pytest.raises(ModelNotUsable, match="cannot be read"):
        loaded_from(qwen)


# Directories as transformers saves them


class PicturesAndText(ProcessorMixin):
    """A processor without videos, which need torchvision; saved as every other."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template)


def _save_as_transformers_does(directory: Path, template: str | dict[str, str]) -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(directory / "tokenizer.json"), eos_token="<|im_end|>")
    figures = {
        "min_pixels": 56 * 56,
        "max_pixels": 56 * 56 * 5,
        "patch_size": 14,
        "merge_size": 2,
        "temporal_patch_size": 2,
    }
    PicturesAndText(Qwen2VLImageProcessor(**figures), tokenizer, chat_template=template).save_pretrained(directory)


def test_a_directory_of_transformers_5_needs_no_file_for_pictures_alone(tmp_path: Path) -> None:
    directory = write_tiny_model(tmp_path / "model")
    before = loaded_from(directory).loaded.backend.preprocessing
    (directory / "preprocessor_config.json").unlink()
    _save_as_transformers_does(directory, BOTH)
    assert not (directory / "preprocessor_config.json").exists()
    engine = loaded_from(directory)
    after = engine.loaded.backend.preprocessing
    assert (after.patch_px, after.merge, after.mean) == (before.patch_px, before.merge, before.mean)
    assert (after.min_pixels, after.max_pixels) == (56 * 56, 56 * 56 * 5)
    assert engine.info().chat.template == "chat_template.jinja"


def test_templates_of_a_saved_processor_are_found_by_name(tmp_path: Path) -> None:
    directory = write_tiny_model(tmp_path / "model")
    _save_as_transformers_does(directory, {"default": PICTURES, "tool_use": TOOLS})
    chat = loaded_from(directory).info().chat
    assert chat.templates == ("chat_template.jinja", "additional_chat_templates/tool_use.jinja")
    assert (chat.template, chat.pictures_template) == (chat.templates[1], chat.templates[0])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "preprocessor_config.json or processor_config.json"),
        ({}, "no image_processor"),
        ({"image_processor": 3}, "no image_processor"),
        ({"image_processor": {"patch_size": 14}}, r"processor_config\.json is not valid"),
    ],
)
def test_a_directory_without_figures_of_pictures_is_refused(qwen: Path, content: Any, words: str) -> None:
    (qwen / "preprocessor_config.json").unlink()
    if content is not None:
        (qwen / "processor_config.json").write_text(json.dumps(content))
    with pytest.raises(ModelNotUsable, match=words):
        loaded_from(qwen)


def test_figures_that_contradict_the_model_name_their_file(qwen: Path) -> None:
    figures = json.loads((qwen / "preprocessor_config.json").read_text())
    (qwen / "preprocessor_config.json").unlink()
    (qwen / "processor_config.json").write_text(json.dumps({"image_processor": {**figures, "patch_size": 16}}))
    with pytest.raises(ModelNotUsable, match=r"patch_size is 16 in processor_config\.json, 14 in config\.json"):
        loaded_from(qwen)


@pytest.mark.parametrize("text", ["[]", "{", '"x"', f'{{"a": "{"b" * 100_000}"}}'])
def test_a_range_of_training_that_is_no_object_is_refused(qwen: Path, text: str) -> None:
    (qwen / "stillwing.json").write_text(text)
    with pytest.raises(ModelNotUsable, match=r"stillwing\.json"):
        loaded_from(qwen)


def test_a_template_that_cannot_be_used_leaves_the_rest_as_it_was(qwen: Path) -> None:
    before = loaded_from(qwen).open("You fly.", 200).ask("What?", max_tokens=4).text
    (qwen / "chat_template.json").write_text('{"chat_template": "{{ raise_exception(\'no\') }}"}')
    (qwen / "tokenizer_config.json").unlink()
    engine = loaded_from(qwen)
    assert engine.info().chat.problem == "chat_template.json refuses it: no"
    assert engine.open("You fly.", 200).ask("What?", max_tokens=4).text == before
    with pytest.raises(ModelNotUsable, match="refuses it: no"):
        engine.open("You fly.", 2000, tools=(LOOK,))


# Pointing


def test_places_are_converted_both_ways() -> None:
    shown = (360, 640)
    assert Pointing.RESIZED_PIXELS.to_fractions(320, 90, shown) == (0.5, 0.25)
    assert Pointing.THOUSANDTHS.to_fractions(320, 90, shown) == (0.32, 0.09)
    for pointing in Pointing:
        right, down = pointing.from_fractions(0.3, 0.7, shown)
        found = pointing.to_fractions(right, down, shown)
        assert abs(found[0] - 0.3) < 2e-3 and abs(found[1] - 0.7) < 2e-3


# The pilot


def test_the_pilot_reads_the_ids_that_it_was_trained_on() -> None:
    """Written down from the release that it was shipped with."""
    text = ChatText(Tokenizer.from_file(str(pilot_directory() / "tokenizer.json")))
    opening = [
        1,
        681,
        206,
        892,
        206,
        893,
        206,
        894,
        206,
        895,
        206,
        896,
        206,
        897,
        206,
        898,
        206,
        899,
        206,
        900,
        206,
        901,
    ]
    assert text.opening(system_prompt()) == [*opening, 2, 206, 1, 649, 206]
    question = [375, 341, 283, 21, 323, 2, 206, 1, 292]
    assert text.question(decision_prompt("Fly to the red beacon.")) == question
    loaded = load_engine(ModelSource(device="cpu", threads=1))
    assert loaded.preparer.opening(system_prompt()) == text.opening(system_prompt())
    asked = loaded.preparer.ask(AskRequest(decision_prompt("Fly to the red beacon.")))
    assert asked.question_ids == question
    chat = loaded.info().chat
    assert (chat.template, chat.tools, chat.sampling) == ("chat_template.jinja", "common", SamplingDefaults())
