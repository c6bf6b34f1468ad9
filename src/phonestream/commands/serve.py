"""`phonestream serve`: streams over WebSockets, files over HTTP, and a page for people."""

import os
from typing import Annotated

import typer

from ..errors import ConfigError
from .output import complain, write
from .shared_options import DecoderOption, ModelOption, visemes_option

SECOND_SIGNAL = 3  # exit status
TOKEN_VARIABLE = "PHONESTREAM_TOKEN"


def serve(
    host: Annotated[str, typer.Option(help="Name or address to listen on.")] = "localhost",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8765,
    model: ModelOption = "default",
    decoder: DecoderOption = None,
    visemes: Annotated[
        str | None, visemes_option("Events of mouth shapes too, for streams that ask for no other")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar=TOKEN_VARIABLE,
            show_envvar=True,
            help="What clients must know. As an option it shows in ps.",
        ),
    ] = None,
    certificate: Annotated[
        str | None, typer.Option(metavar="FILE", help="TLS certificate with its chain, PEM.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="FILE", help="Its private key, if in a file of its own.")
    ] = None,
    without_token: Annotated[
        bool, typer.Option("--without-token", help="Let everyone in who can reach this machine.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name of this server, as in http://NAME/."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Another site whose pages may use this server.")
    ] = None,
    root_path: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Where a proxy shows this server, as in /speech."),
    ] = None,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="A line on standard error for each request and stream.")
    ] = False,
    max_streams: Annotated[int, typer.Option(min=1, help="At a time; the next is refused.")] = 128,
    max_streams_per_address: Annotated[
        int | None,
        typer.Option(
            min=1, help="The same for one client's address.", show_default="half, this machine excepted"
        ),
    ] = None,
    max_message: Annotated[int, typer.Option(min=1, metavar="KIB", help="Of one WebSocket message.")] = 1024,
    max_file: Annotated[int, typer.Option(min=1, metavar="MIB", help="Of one recording.")] = 256,
    max_backlog: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="Of a stream's audio waiting; then its sender waits."),
    ] = 10,
    max_idle: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Without a message; then the stream is closed.")
    ] = 60,
    max_duration: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Of audio in one stream or file.")
    ] = 86400,
) -> None:
    """Hear streams over WebSockets and files over HTTP, and show a page with a microphone button."""
    from ..formats.answers import answer_writer
    from ..streaming.recognizer import Recognizer
    from ..streaming.server.access import Access, check_host, check_origin, check_root_path, is_loopback
    from ..streaming.server.limits import Limits
    from ..streaming.server.run import run
    from ..streaming.visemes import check_visemes
    from .align_upload import upload_aligner

    if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token != ""):
        raise ConfigError(
            f"the token in --token or {TOKEN_VARIABLE} is empty, or not of plain characters; use others"
        )
    if not is_loopback(host) and token is None and not without_token:
        raise ConfigError(
            f"--host {host} lets other machines in: give a --token that they must know, "
            "or --without-token to let in everyone"
        )
    if key is not None and certificate is None:
        raise ConfigError("--key is a certificate's: give --certificate too")
    for file in filter(None, (certificate, key)):
        if not os.path.isfile(file):
            raise ConfigError(f"{file}: no such file; TLS needs it")
    access = Access(
        token=token,
        hosts=frozenset(check_host(name) for name in [*(allow_host or []), host]),
        origins=frozenset(map(check_origin, allow_origin or [])),
    )
    limits = Limits(
        streams=max_streams,
        address_streams=max_streams_per_address,
        message_bytes=max_message << 10,
        upload_bytes=max_file << 20,
        backlog_seconds=max_backlog,
        idle_seconds=max_idle,
        duration_seconds=max_duration,
    )
    recognizer = Recognizer(model, decoder=decoder)
    ending = run(
        recognizer,
        host=host,
        port=port,
        access=access,
        limits=limits,
        certificate=certificate,
        key=key,
        root_path="" if root_path is None else check_root_path(root_path),
        request_log=log_requests,
        answers=answer_writer,
        announce=lambda url: write(f"{url}  (Ctrl-C ends it)"),
        align=upload_aligner(recognizer),
        visemes=None if visemes is None else check_visemes(visemes, recognizer.phones),
    )
    if ending.cut:
        complain(f"{ending.cut} streams and files were cut off before their end, and have no snapshot")
    if ending.forced or ending.cut:
        raise typer.Exit(SECOND_SIGNAL if ending.forced else 1)
