"""A network of its own for one process, with one cable to this one that can be cut without either side being told."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import pytest


class NetworkNamespace:
    """`near_address` is this side of the cable and `far_address` the other; needs iproute2 and its privileges.

    The addresses are of RFC 2544's range for tests, numbered by this process's id.
    """

    def __init__(self) -> None:
        number = os.getpid() % 0x4000
        self.name = f"sw-{os.getpid()}"
        self._near, self._far = f"swn{os.getpid()}", f"swf{os.getpid()}"
        base = (198 << 24) + (18 << 16) + number * 4
        self.near_address, self.far_address = (
            ".".join(str(base + host >> shift & 255) for shift in (24, 16, 8, 0)) for host in (1, 2)
        )

    def __enter__(self) -> Self:
        if shutil.which("ip") is None:
            pytest.skip("network namespaces need iproute2, which is not installed")
        try:
            _ip("netns", "add", self.name)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not permitted here: {error.stderr.strip()}")
        try:
            _ip(*self.within("true"))
            _ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self.name)
        except subprocess.CalledProcessError as error:
            self.remove()
            pytest.skip(f"network namespaces or their cables are not permitted here: {error.stderr.strip()}")
        try:
            _ip("addr", "add", f"{self.near_address}/30", "dev", self._near)
            _ip("-n", self.name, "addr", "add", f"{self.far_address}/30", "dev", self._far)
            _ip("link", "set", self._near, "up")
            self.mend()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def within(self, *command: str) -> Sequence[str]:
        """Arguments of `ip` that run a command in there."""
        return ("netns", "exec", self.name, *command)

    def cut(self) -> None:
        """Pull the cable out of the far side: from now on nothing arrives on either."""
        _ip("-n", self.name, "link", "set", self._far, "down")

    def mend(self) -> None:
        """Put it back."""
        _ip("-n", self.name, "link", "set", self._far, "up")

    def remove(self) -> None:
        """Take it away, and the cable with it; what runs in there has to be ended before."""
        _ip("netns", "del", self.name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)
