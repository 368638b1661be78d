"""python -m pytest tests/unit/vlm/test_endpoint_address.py

Which endpoints may be spoken to, and with what.
"""

import pytest
from chat_endpoint import KEY, chat_server

from stillwing_common.errors import EndpointUnreachable, InsecureChannel, InvalidInput, StillwingError
from stillwing_vlm.core.endpoint.http import Endpoint, EndpointAddress


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("", InvalidInput),
        ("example.com/v1", InvalidInput),
        ("ftp://example.com/v1", InvalidInput),
        ("https://user:pass@example.com/v1", InvalidInput),
        ("https://example.com/v1?key=abc", InvalidInput),
        ("http://[::1/v1", InvalidInput),
        ("http://example.com:99999/v1", InvalidInput),
        ("http://example.com/v1", InsecureChannel),
    ],
)
def test_urls_that_are_none_or_would_give_the_key_away(url: str, error: type[StillwingError]) -> None:
    with pytest.raises(error) as raised:
        EndpointAddress(url, "eyes-1", KEY)
    assert KEY not in str(raised.value)


def test_a_key_that_no_header_holds_and_a_model_without_a_name() -> None:
    for model, key in (("", KEY), ("eyes-1", "two\nlines"), ("eyes-1", " blank ")):
        with pytest.raises(InvalidInput):
            EndpointAddress("https://example.com/v1", model, key)


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(EndpointAddress("https://example.com/v1", "eyes-1", KEY))


async def test_an_endpoint_that_is_gone() -> None:
    with chat_server() as chat:
        url = chat.url
    endpoint = Endpoint(EndpointAddress(url, "eyes-1", KEY, tries=1))
    with pytest.raises(EndpointUnreachable, match="does not answer"):
        await endpoint.check()
    with pytest.raises(EndpointUnreachable):
        await endpoint.complete({})
    await endpoint.close()


async def test_fields_of_the_users_own_go_in_the_place_of_ours() -> None:
    with chat_server() as chat:
        fields = {"temperature": 1, "max_tokens": None, "max_completion_tokens": 900}
        endpoint = Endpoint(EndpointAddress(chat.url, "eyes-1", fields=fields))
        await endpoint.complete({"temperature": 0, "max_tokens": 7})
        await endpoint.close()
    assert chat.requests == [{"model": "eyes-1", "temperature": 1, "max_completion_tokens": 900}]
    assert chat.authorizations == [None]
