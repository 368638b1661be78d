"""One POST for each question to an OpenAI-compatible endpoint, bounded in time and bytes, with our own errors.

The key is sent to the endpoint's own address alone, in a header: it is in no log, no error and no event, even where the
endpoint repeats it. It knows nothing of what is asked. All methods run on one event loop.
"""

import asyncio
import ipaddress
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2

from stillwing_common.errors import (
    AnswerTimeout,
    EndpointBusy,
    EndpointRefused,
    EndpointUnreachable,
    EndpointUnreadable,
    InsecureChannel,
    InvalidInput,
    StillwingError,
)

_MAX_ANSWER_BYTES = 1 << 20
_MAX_EXCERPT_CHARS = 200
_CONNECT_S = 10.0
_FIRST_PAUSE_S = 1.0

# At the level debug these tell headers.
for _chatty in ("httpx2", "httpcore2"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """Where an endpoint is and how it is spoken to.

    `url` ends before `/chat/completions`, as in `https://api.openai.com/v1`. `key` "": none is sent. `timeout_s` bounds
    one answer with all its tries; `tries` is how often a busy endpoint is asked. `fields` go into every request in the
    place of ours; None leaves one out. Raises InvalidInput, InsecureChannel.
    """

    url: str
    model: str
    key: str = ""
    timeout_s: float = 60.0
    tries: int = 3
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise InvalidInput(f"the endpoint's url cannot be read: {error}", field="url") from error
        if parts.scheme not in ("http", "https") or not host:
            raise InvalidInput("the endpoint's url begins with http:// or https:// and a host", field="url")
        if parts.username is not None or parts.query or parts.fragment:
            raise InvalidInput("the endpoint's url holds no user, key or query; the key has a setting", field="url")
        if self.key and parts.scheme == "http" and not _is_loopback(host):
            raise InsecureChannel("a key goes to an endpoint by https, or to this machine", target=parts.netloc)
        if self.key and (not self.key.isascii() or not self.key.isprintable() or self.key != self.key.strip()):
            raise InvalidInput("the endpoint's key is printable ASCII without white space at its ends", field="key")
        if not self.model.strip():
            raise InvalidInput("say which model the endpoint is to answer with", field="model")
        if not (self.timeout_s > 0 and self.tries >= 1):
            raise InvalidInput("timeout_s is above 0 and tries at least 1", field="timeout_s")

    @property
    def host(self) -> str:
        """Host and port, for people to read."""
        return urlsplit(self.url).netloc

    def __repr__(self) -> str:
        return f"EndpointAddress({self.url!r}, {self.model!r})"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Endpoint:
    """Asks one endpoint."""

    def __init__(self, address: EndpointAddress) -> None:
        self.address = address
        headers = {"Accept-Encoding": "identity", "Accept": "application/json"}
        if address.key:
            headers["Authorization"] = f"Bearer {address.key}"
        self._client = httpx2.AsyncClient(
            headers=headers, follow_redirects=False, timeout=httpx2.Timeout(None, connect=_CONNECT_S)
        )

    async def check(self) -> None:
        """Whether it answers and takes the key, where it can say so without a question.

        Raises EndpointUnreachable, EndpointRefused, AnswerTimeout.
        """
        async with _within(self.address.timeout_s):
            status, _, answer = await self._send("GET", "/models", None)
        if status in (404, 405):
            return
        if status != 200:
            raise self._refusal(status, answer, "")

    async def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request for a chat completion, a JSON object.

        An endpoint that is busy or gone is asked again, after the pause that it names. Raises EndpointUnreachable,
        EndpointRefused, EndpointBusy, EndpointUnreadable and AnswerTimeout.
        """
        fields = {"model": self.address.model, **body, **self.address.fields}
        sent = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
        until_s = time.monotonic() + self.address.timeout_s
        tries = 0
        async with _within(self.address.timeout_s):
            while True:
                tries += 1
                pause_s = _FIRST_PAUSE_S * tries
                try:
                    status, headers, answer = await self._send("POST", "/chat/completions", sent)
                    if status == 200:
                        return _object(answer)
                    failure = self._refusal(status, answer, headers.get("location", ""))
                    pause_s = _pause_s(headers.get("retry-after", ""), pause_s)
                except EndpointUnreachable as error:
                    failure = error
                if not failure.retryable or tries >= self.address.tries or time.monotonic() + pause_s >= until_s:
                    raise failure
                await asyncio.sleep(pause_s)

    async def close(self) -> None:
        """End its connections."""
        await self._client.aclose()

    async def _send(self, method: str, path: str, body: bytes | None) -> tuple[int, Mapping[str, str], bytes]:
        url = self.address.url.rstrip("/") + path
        headers = {} if body is None else {"Content-Type": "application/json"}
        answer = bytearray()
        try:
            async with self._client.stream(method, url, content=body, headers=headers) as response:
                async for piece in response.aiter_bytes():
                    answer += piece
                    if len(answer) > _MAX_ANSWER_BYTES:
                        raise EndpointUnreadable(f"it is longer than {_MAX_ANSWER_BYTES} bytes")
                return response.status_code, response.headers, bytes(answer)
        except httpx2.DecodingError as error:
            raise EndpointUnreadable("its body cannot be decoded") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            words = self._clean(str(error)) or type(error).__name__
            raise EndpointUnreachable(f"{self.address.host}: {words}", endpoint=self.address.host) from error

    def _refusal(self, status: int, answer: bytes, location: str) -> StillwingError:
        said = self._clean(_said(answer))
        known = {"endpoint": self.address.host, "status": status}
        if 300 <= status < 400:
            target = self._clean(location.partition("?")[0])
            return EndpointRefused(f"it redirects to {target or 'nowhere'}; set the url it is really at", **known)
        if status in (401, 403):
            return EndpointRefused(f"{status}, it does not accept the key: {said}", **known)
        if status == 429:
            return EndpointBusy(f"429: {said}", **known)
        if status >= 500:
            return EndpointUnreachable(f"{self.address.host} answers {status}: {said}", **known)
        return EndpointRefused(f"{status}: {said}", **known)

    def _clean(self, text: str) -> str:
        if self.address.key:
            text = text.replace(self.address.key, "(key)")
        return "".join(sign if sign.isprintable() else " " for sign in text)[:_MAX_EXCERPT_CHARS].strip()


@asynccontextmanager
async def _within(timeout_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise AnswerTimeout(f"the endpoint did not answer within {timeout_s:g} s") from error


def _object(answer: bytes) -> dict[str, Any]:
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise EndpointUnreadable("it is not JSON") from error
    if not isinstance(value, dict):
        raise EndpointUnreadable("it is no JSON object")
    return value


def _said(answer: bytes) -> str:
    """What the body of a refusal says: the message of its error, else its text."""
    text = answer.decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError, RecursionError):
        return text or "nothing"


def _pause_s(retry_after: str, usual_s: float) -> float:
    """Seconds until it may be asked again; a date is not read."""
    try:
        wanted_s = float(retry_after)
    except ValueError:
        return usual_s
    return wanted_s if 0 <= wanted_s < math.inf else usual_s
