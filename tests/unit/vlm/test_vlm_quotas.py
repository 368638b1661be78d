"""python -m pytest tests/unit/vlm/test_vlm_quotas.py -v"""

import pytest

from stillwing_common.errors import (
    Exhausted,
    OutOfCredits,
    TooManyBranches,
    TooManyContextTokens,
    TooManyFrameBytes,
    TooManySessions,
    TooManyWatches,
)
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.serving.quotas import Quotas, Resource, SessionQuotas


def test_what_is_given_back_is_free_again_once() -> None:
    quotas = Quotas(Limits(max_sessions=2))
    give = quotas.take("a", Resource.SESSIONS)
    quotas.take("b", Resource.SESSIONS)
    with pytest.raises(TooManySessions) as error:
        quotas.take("c", Resource.SESSIONS)
    assert (error.value.metadata["scope"], error.value.metadata["limit"]) == ("engine", "2")
    give()
    give()
    assert quotas.held(Resource.SESSIONS) == 1
    quotas.take("c", Resource.SESSIONS)
    with pytest.raises(TooManySessions):
        quotas.take("c", Resource.SESSIONS)


@pytest.mark.parametrize(
    ("limit", "resource", "error"),
    [
        ("sessions", Resource.SESSIONS, TooManySessions),
        ("asks", Resource.ASKS, TooManyBranches),
        ("context_tokens", Resource.CONTEXT_TOKENS, TooManyContextTokens),
        ("frame_bytes", Resource.FRAME_BYTES, TooManyFrameBytes),
    ],
)
def test_one_peer_does_not_use_up_what_another_may_have(limit: str, resource: Resource, error: type[Exception]) -> None:
    quotas = Quotas(Limits(**{f"max_peer_{limit}": 10}))  # type: ignore[arg-type]
    quotas.take("greedy", resource, 8)
    with pytest.raises(error) as refused:
        quotas.take("greedy", resource, 3)
    assert refused.value.metadata["scope"] == "peer"  # type: ignore[attr-defined]
    give = quotas.take("modest", resource, 3)
    assert quotas.held(resource) == 11
    give()
    assert quotas.held(resource) == 8


def test_0_sets_no_limit() -> None:
    quotas = Quotas(Limits(max_engine_asks=0, max_engine_frame_bytes=0))
    quotas.take("a", Resource.ASKS, 10**6)
    quotas.take("a", Resource.FRAME_BYTES, 10**12)
    quotas.take("a", Resource.CONTEXT_TOKENS, 10**9)


@pytest.mark.parametrize(
    ("resource", "most", "error"),
    [
        (Resource.ASKS, 8, TooManyBranches),
        (Resource.FRAMES, 4, OutOfCredits),
        (Resource.WATCHES, 4, TooManyWatches),
        (Resource.EXPORTS, 1, Exhausted),
    ],
)
def test_a_session_has_limits_of_its_own(resource: Resource, most: int, error: type[Exhausted]) -> None:
    quotas = Quotas(Limits())
    session, other = (SessionQuotas(quotas, "a", Limits()) for _ in range(2))
    gives = [session.take(resource) for _ in range(most)]
    with pytest.raises(error) as refused:
        session.take(resource)
    assert (refused.value.metadata["scope"], refused.value.metadata["limit"]) == ("session", str(most))
    other.take(resource, most)
    assert quotas.held(resource) == 2 * most
    for give in (*gives, *gives):
        give()
    assert (session.held(resource), quotas.held(resource)) == (0, most)
    session.take(resource, most)


def test_what_takes_the_place_of_others_needs_no_credit_but_is_never_larger_than_all_credits() -> None:
    session = SessionQuotas(Quotas(Limits()), "a", Limits(frame_credits=4))
    session.take(Resource.FRAMES, 4)
    session.take(Resource.FRAMES, 4, replaces=True)
    assert session.held(Resource.FRAMES) == 8
    with pytest.raises(OutOfCredits):
        session.take(Resource.FRAMES, 5, replaces=True)


def test_what_a_peer_or_the_engine_refuses_the_session_does_not_hold() -> None:
    session = SessionQuotas(Quotas(Limits(max_engine_asks=1)), "a", Limits())
    session.take(Resource.ASKS)
    with pytest.raises(TooManyBranches) as refused:
        session.take(Resource.ASKS)
    assert refused.value.metadata["scope"] == "engine"
    assert session.held(Resource.ASKS) == 1
