"""`stillwing-endpoint`: an engine whose model answers behind an OpenAI-compatible url. The composition root."""

from typing import Annotated

import structlog
import typer

from stillwing_common.extras import command_needs
from stillwing_rpc.command import read_settings, run_service
from stillwing_rpc.logs import configure_logs
from stillwing_rpc.server import RpcServer

with command_needs("openai", "stillwing-endpoint"):
    from stillwing_vlm.core.endpoint.engine import EndpointEngine
    from stillwing_vlm.endpoint_settings import EndpointSettings
    from stillwing_vlm.server import registration

app = typer.Typer(add_completion=False, help="Stillwing's engine over a model that answers behind a url.")
_log = structlog.get_logger("stillwing.endpoint")


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.")] = None,
    url: Annotated[str | None, typer.Option(help="The endpoint's url up to /chat/completions.")] = None,
    model: Annotated[str | None, typer.Option(help="Name of the model there.")] = None,
    layout: Annotated[str | None, typer.Option(help="Pictures of one question: first+recalled+newest.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve until interrupted. What no flag says is read from STILLWING_ENDPOINT_…, the key always."""
    settings = read_settings(
        EndpointSettings, host=host, port=port, url=url, model=model, layout=layout, log_level=log_level
    )
    configure_logs(settings.log_level, settings.log_format)
    run_service("stillwing-endpoint", _serve(settings))


async def _serve(settings: EndpointSettings) -> None:
    engine = EndpointEngine(settings.address(), settings.budget())
    server = RpcServer([registration(engine)], settings, on_drain=engine.close)
    try:
        await server.start()
        await engine.check()
        info = await engine.model_info()
        _log.info("model.ready", engine=info.engine, model=info.model, endpoint=info.device, pictures=settings.layout)
        await server.set_serving()
        await server.run()
    finally:
        await server.drain()
        await engine.close()


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
