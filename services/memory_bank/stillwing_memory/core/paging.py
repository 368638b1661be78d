"""Opaque page tokens: what they hold is the bank's business, and one that was changed is refused."""

import base64
import binascii
import json
import zlib

from stillwing_common.errors import BadPageToken


def make_token(kind: str, scope: str, last: str) -> str:
    """A token that goes on after `last`, for pages of one `kind` under one filter `scope`."""
    body = json.dumps([kind, scope, last]).encode()
    return base64.urlsafe_b64encode(zlib.crc32(body).to_bytes(4, "big") + body).decode().rstrip("=")


def read_token(token: str, kind: str, scope: str) -> str:
    """What `last` was. Raises BadPageToken for a changed token and for one of other pages or another filter."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        body = raw[4:]
        if zlib.crc32(body) != int.from_bytes(raw[:4], "big"):
            raise ValueError("checksum")
        found_kind, found_scope, last = json.loads(body)
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise BadPageToken(token=ascii(token[:40])) from error
    if found_kind != kind or found_scope != scope or not isinstance(last, str):
        raise BadPageToken("it belongs to another list or another filter", token=token[:40])
    return last
