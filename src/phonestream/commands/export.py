"""`phonestream export`: a training run to a model file, or a model file to a web page that runs it."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from .output import write
from .shared_options import refuse_given

OF_A_PAGE = ("web", "model", "decoder")
"""Parameters that say what page is written; the others say how a run becomes a model file."""


def export(
    context: typer.Context,
    run: Annotated[
        Path | None,
        typer.Argument(help="Folder of a training run, or a model file to write anew.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="MODEL.onnx", help="The model file to write.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Keep the weights as 8-bit integers.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Data on whose dev split to fit blank and confidences. Without it: not fitted.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the model is called. Without it: the configuration's name.")
    ] = None,
    model_version: Annotated[
        str | None,
        typer.Option(
            metavar="X.Y.Z", help="Of the model. Without it: 0.0.0+steps.N, of a model that was not released."
        ),
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the model.")] = "not stated",
    training_data: Annotated[str, typer.Option(help="With its licences and credits.")] = "not stated",
    time_offset: Annotated[
        float, typer.Option(metavar="SECONDS", help="How late its times are on average; taken off them.")
    ] = 0.0,
    blend: Annotated[
        Path | None,
        typer.Option(metavar="MODEL.onnx", help="A model that the run started from, to mix its weights in."),
    ] = None,
    blend_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, metavar="SHARE", help="Of that model in the mixture.")
    ] = 0.5,
    web: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Write a static web page that hears with a model in the visitor's browser."
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(metavar="PATH|NAME", help="Of the page: a model file, or the name of a bundled model."),
    ] = "default",
    decoder: Annotated[
        Literal["beam", "greedy"],
        typer.Option(help="How the page decodes: greedily it needs no language model of 4 MB."),
    ] = "beam",
) -> None:
    """Write a trained model as one ONNX file, verified against torch; or, with --web, a page that runs a model."""
    given = {name for name in context.params if _given(context, name)}
    of_a_run = [each.name for each in context.command.params if each.name not in OF_A_PAGE]
    if web is not None:
        refuse_given(
            {_hint(parameter): parameter in given for parameter in of_a_run},
            "is about a run, and --web takes a model file: export the run first, then give --model",
        )
        _page(Path(web), model, decoder if "decoder" in given else None)
        return
    refuse_given(
        {"--model": "model" in given, "--decoder": "decoder" in given}, "is about a page; give --web too"
    )
    if run is None:
        raise typer.BadParameter("give a training run's folder, or --web", param_hint="RUN")
    if output is None:
        raise typer.BadParameter("give the file to write", param_hint="--output")
    from ..export import export, export_again

    if run.suffix == ".onnx" or run.is_file():
        refuse_given(
            {_hint(parameter): parameter in given - {"run", "output"} for parameter in of_a_run},
            "is about a run; a model file that is written anew keeps its weights and what it says of itself",
        )
        write(str(export_again(run, output)))
        return
    summary = export(
        run,
        output,
        int8=int8,
        data=data,
        name=name,
        version=model_version,
        licence=licence,
        training_data=training_data,
        time_offset_seconds=time_offset,
        blend=blend,
        blend_share=blend_share,
    )
    write(str(summary))


def _page(folder: Path, model: str, decoder: Literal["beam", "greedy"] | None) -> None:
    from ..streaming.web.static import export_page

    page = export_page(model, folder, decoder=decoder)
    write(f"{folder}: a page with the model {page.model}, {page.files} files, {page.size / 1e6:.1f} MB")
    write(f"see it:  python -m http.server -d {shlex.quote(str(folder))}  and open http://localhost:8000/")
    write("publish: copy the folder to any web server; browsers give the microphone only over HTTPS")


def _given(context: typer.Context, parameter: str) -> bool:
    """Whether the call itself has this parameter."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name != "DEFAULT"


def _hint(parameter: str) -> str:
    return parameter.upper() if parameter == "run" else "--" + parameter.replace("_", "-")
