"""Where the files of one development authority lie, and the settings of servers and channels that use them.

`authority` makes them. One server certificate serves every service, and one client certificate every client.
"""

from dataclasses import dataclass
from pathlib import Path

from stillwing_common.errors import InvalidInput, NotFound
from stillwing_rpc.channel_settings import ChannelSettings

DEFAULT_DAYS = 365


@dataclass(frozen=True, slots=True)
class CertificateFolder:
    """Where the files of one authority lie."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate: what both sides trust."""
        return self.folder / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """The authority's key: whoever has it can make more."""
        return self.folder / "ca-key.pem"

    @property
    def server(self) -> Path:
        """The services' certificate."""
        return self.folder / "server.pem"

    @property
    def server_key(self) -> Path:
        """Its key."""
        return self.folder / "server-key.pem"

    @property
    def client(self) -> Path:
        """The clients' certificate."""
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        """Its key."""
        return self.folder / "client-key.pem"

    @property
    def token(self) -> Path:
        """The bearer token, one line."""
        return self.folder / "token"

    @property
    def names(self) -> frozenset[str]:
        """Every file's name."""
        paths = (self.ca, self.ca_key, self.server, self.server_key, self.client, self.client_key, self.token)
        return frozenset(path.name for path in paths)

    def read_token(self) -> str:
        """The bearer token; `NotFound` where there is none, `InvalidInput` where the file holds no text."""
        try:
            return self.token.read_text(encoding="ascii").strip()
        except OSError as error:
            raise NotFound(f"{self.token}: {error.strerror}; make it with: stillwing certs", path=self.token) from error
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"{self.token} holds no token; make one with: stillwing certs", path=self.token
            ) from error

    def server_settings(self) -> dict[str, str]:
        """Settings of a service, by name, for mutual TLS and the token; `NotFound`."""
        return {
            "tls_cert_file": str(self.server),
            "tls_key_file": str(self.server_key),
            "tls_client_ca_file": str(self.ca),
            "token": self.read_token(),
        }

    def channel(self) -> ChannelSettings:
        """How a client that has this folder reaches services that were started with it; `NotFound`."""
        return ChannelSettings(
            tls_ca_file=self.ca, tls_cert_file=self.client, tls_key_file=self.client_key, token=self.read_token()
        )
