"""`stillwing certs`: an authority of one's own, with certificates for services and clients and a token."""

from pathlib import Path
from typing import Annotated

import typer

from stillwing_cli.terminal import AsJson, err, next_step, out, print_json, told_errors
from stillwing_common.extras import needs_extra
from stillwing_rpc.certificates import DEFAULT_DAYS


def certs(
    folder: Annotated[Path, typer.Option("--out", help="Folder that gets the files.")] = Path("certs"),
    names: Annotated[
        list[str] | None, typer.Option("--name", help="Host name or address the services are reached by; repeat it.")
    ] = None,
    days: Annotated[int, typer.Option(help="How long the certificates are valid.")] = DEFAULT_DAYS,
    renew: Annotated[bool, typer.Option("--renew", help="Keep authority and token, make new certificates.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a development authority, a server's and a client's certificate, and a bearer token."""
    with told_errors():
        with needs_extra("certs", "certificates"):
            from stillwing_rpc.authority import make_certificates
        made = make_certificates(folder, names or (), days=days, renew=renew)
    files = made.files
    console = err if as_json else out
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "names": list(made.names),
                "valid_until": made.valid_until.isoformat(timespec="seconds"),
            }
        )
    console.print(
        f"valid until {made.valid_until:%Y-%m-%d %H:%M} UTC; the services' names: {', '.join(made.names)}",
        soft_wrap=True,
    )
    for path, what in (
        (files.ca, "what services and clients trust"),
        (files.ca_key, "makes more certificates; keep it off the machines that fly"),
        (files.server, "for the services, with server-key.pem"),
        (files.client, "for clients, with client-key.pem"),
        (files.token, "bearer token, for both"),
    ):
        console.print(f"  {path!s:<28} {what}", highlight=False, soft_wrap=True)
    next_step(console, f"stillwing up --certs {folder}", "start everything with them")
