"""`python -m stillwing_airfield.probe HOST:PORT`: exit code 0 if a simulator answers `ping`; for containers, scripts.

It knows AirSim's wire and nothing of scenes.
"""

import socket
import sys

import msgpack

_LIMIT_S = 3.0


def probe(address: str) -> str | None:
    """None if `ping` is answered with true, else why not."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return f"{address!r} is no HOST:PORT"
    unpacker = msgpack.Unpacker(raw=False)
    try:
        with socket.create_connection((host, int(port)), timeout=_LIMIT_S) as link:
            link.settimeout(_LIMIT_S)
            link.sendall(msgpack.packb([0, 1, "ping", []]))
            while data := link.recv(4096):
                unpacker.feed(data)
                for answer in unpacker:
                    return None if answer == [1, 1, None, True] else f"{address} answered {answer!r}"
    except (OSError, ValueError, OverflowError) as error:  # the last for a port beyond all
        return f"{address}: {error}"
    return f"{address} hung up"


def main() -> int:
    """The exit code: 0 answering, 1 not, 2 wrong usage."""
    if len(sys.argv) != 2:
        print("usage: python -m stillwing_airfield.probe HOST:PORT", file=sys.stderr)
        return 2
    fault = probe(sys.argv[1])
    print(fault or f"{sys.argv[1]} answers", file=sys.stderr if fault else sys.stdout)
    return 1 if fault else 0


if __name__ == "__main__":
    raise SystemExit(main())
