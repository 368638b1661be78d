"""`python -m stillwing_rpc.probe HOST:PORT SERVICE`: exit code 0 if health says SERVING, for containers and scripts.

TLS and token as clients take them: STILLWING_PROBE_TLS_CA_FILE, STILLWING_PROBE_TOKEN.
"""

import asyncio
import os
import sys
from pathlib import Path

from stillwing_common.errors import StillwingError
from stillwing_rpc.channel import connect
from stillwing_rpc.channel_settings import ChannelSettings

_WAIT_S = 3.0


async def probe(target: str, service: str, settings: ChannelSettings) -> str | None:
    """None if the service is SERVING, else why not."""
    try:
        channel = await connect(target, service, settings, wait_s=_WAIT_S)
    except StillwingError as error:
        return str(error)
    await channel.close()
    return None


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 serving, 1 not, 2 wrong usage."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) != 2:
        print("usage: python -m stillwing_rpc.probe HOST:PORT SERVICE", file=sys.stderr)
        return 2
    authority = os.environ.get("STILLWING_PROBE_TLS_CA_FILE")
    settings = ChannelSettings(
        tls_ca_file=Path(authority) if authority else None, token=os.environ.get("STILLWING_PROBE_TOKEN")
    )
    fault = asyncio.run(probe(words[0], words[1], settings))
    print(fault or f"{words[1]} at {words[0]} is serving", file=sys.stderr if fault else sys.stdout)
    return 1 if fault else 0


if __name__ == "__main__":
    raise SystemExit(main())
