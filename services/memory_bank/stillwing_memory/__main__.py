"""`stillwing-memory`: serve the memory bank. The composition root; no logic here."""

import logging
from pathlib import Path
from typing import Annotated

import structlog
import typer

from stillwing_common.extras import command_needs
from stillwing_rpc.command import read_settings, run_service, told_errors
from stillwing_rpc.logs import configure_logs
from stillwing_rpc.server import RpcServer

with command_needs("memory", "stillwing-memory"):
    from stillwing_memory.core.bank import StoredBank
    from stillwing_memory.server import registration
    from stillwing_memory.settings import MemorySettings

app = typer.Typer(add_completion=False, help="Stillwing's memory bank: keyframes and the things seen in them.")
_log = structlog.get_logger("stillwing.memory")


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Data folder of the embedded server.")] = None,
    dsn: Annotated[str | None, typer.Option(help="A PostgreSQL with pgvector, instead of the embedded one.")] = None,
    similarity: Annotated[str | None, typer.Option(help="auto, minilm or token_overlap.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve until interrupted. What no flag says is read from STILLWING_MEMORY_…"""
    if context.invoked_subcommand is not None:
        return
    settings = read_settings(
        MemorySettings, host=host, port=port, folder=folder, dsn=dsn, similarity=similarity, log_level=log_level
    )
    configure_logs(settings.log_level, settings.log_format)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # says at every start that there is nothing to do
    run_service("stillwing-memory", _serve(settings))


Folder = Annotated[Path | None, typer.Option(help="Data folder of the embedded server.")]
Dsn = Annotated[str | None, typer.Option(help="A PostgreSQL with pgvector, instead of the embedded one.")]


@app.command()
def backup(
    context: typer.Context,
    to: Annotated[Path, typer.Argument(help="The file to write.")],
    folder: Folder = None,
    dsn: Dsn = None,
) -> None:
    """Write the whole bank into one file; it may go on serving meanwhile."""
    from stillwing_memory.core.stores.backup import back_up

    settings = _place(context, folder, dsn)
    with told_errors("stillwing-memory"):
        size = back_up(settings.folder, settings.dsn.get_secret_value(), to, with_images=not settings.images_url)
        typer.echo(f"{to}: {size / 2**20:.1f} MiB")
        if settings.images_url:
            typer.echo(f"without the large images in {settings.images_url}: copy them after this, too")
        typer.echo(f"Next: stillwing-memory restore {to} --folder NEW   into an empty folder")


@app.command()
def restore(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="A file that backup wrote.")],
    folder: Folder = None,
    dsn: Dsn = None,
) -> None:
    """Bring a backup into an empty folder or database."""
    from stillwing_memory.core.stores.backup import restore as bring_back

    settings = _place(context, folder, dsn)
    with told_errors("stillwing-memory"):
        bring_back(source, settings.folder, settings.dsn.get_secret_value())
        typer.echo(f"restored {source}")
        typer.echo("Next: stillwing-memory   serve it, with the same --folder or --dsn")


def _place(context: typer.Context, folder: Path | None, dsn: str | None) -> MemorySettings:
    """Where the service with the same flags and environment has its bank; flags may stand before the command."""
    before = context.parent.params if context.parent else {}
    return read_settings(MemorySettings, folder=folder or before.get("folder"), dsn=dsn or before.get("dsn"))


async def _serve(settings: MemorySettings) -> None:
    bank = await StoredBank.open(settings.core())
    server = RpcServer([registration(bank)], settings, on_drain=bank.end_streams)
    try:
        await server.start()
        info = await bank.get_bank()
        _log.info(
            "memory.open",
            store=info.store,
            store_version=info.store_version,
            similarity=info.similarity,
            scorer=info.scorer,
            tenant=info.tenant,
            keyframes=info.keyframes,
            entities=info.entities,
        )
        await server.set_serving()
        await server.run()
    finally:
        await server.drain()
        await bank.close()


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
