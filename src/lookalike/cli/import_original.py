"""`lookalike import-original`: what the described system left behind, converted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lookalike.cli.app import JsonOption, ProgressOption, app, print_json, print_table, progress_bar, warn

__all__: list[str] = []


@app.command("import-original")
def import_original(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="A features.pkl, a Keras .h5, or both.")],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where the converted files go.")] = Path(
        "output/original"
    ),
    slope: Annotated[float | None, typer.Option(min=0, max=1, help="Of the leaky units, if the .h5 has none.")] = None,
    relu: Annotated[
        bool | None, typer.Option("--relu/--no-relu", help="Whether one follows the embedding, likewise.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The pictures that were indexed: make a gallery of both files."),
    ] = None,
    listed: Annotated[
        Path | None, typer.Option("--list", metavar="FILE", help="Their order, a path a line; by default sorted.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option("-i", "--index", metavar="DIR", help="The gallery; by default output/DIR/features.")
    ] = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Convert an index and a model of the described system. Nothing that is in the files is ever run.

    The model becomes an encoder: lookalike index FOLDER -e DIR. The index becomes DIR/features.npz, and with --pictures
    a gallery if every picture, encoded again, comes to the embedding in its place.
    """
    from lookalike.training import original  # noqa: PLC0415  (numpy; TensorFlow for a model)

    models = [file for file in files if original.is_weights_file(file)]
    indexes = [file for file in files if file not in models]
    if len(models) > 1 or len(indexes) > 1:
        raise typer.BadParameter("one model and one index at most", param_hint="FILE")
    if pictures is not None and not (models and indexes):
        raise typer.BadParameter("a gallery needs a model and an index", param_hint="--pictures")
    features = original.read_features(indexes[0]) if indexes else None
    done: dict[str, Any] = {"output": str(output)}
    if models:
        done |= _model_fields(original.import_model(models[0], output, slope=slope, relu=relu))
    if features is not None:
        features.save(output / "features.npz")
        done |= {"embeddings": len(features.indexes), "dim": features.embeddings.shape[1]}
    if pictures is not None and features is not None:
        place = index or output / "features"
        with progress_bar("verifying", hidden=no_progress or json) as progress:
            entries = original.ordered_pictures(pictures, listed)
            count = original.make_gallery(place, output, features, entries, on_progress=progress)
        done |= {"gallery": str(place), "pictures": count}
    if json:
        print_json(done)
    else:
        print_table(["", ""], [(name.replace("_", " "), str(value)) for name, value in done.items()])
        if models:
            warn(f"use it: lookalike index FOLDER -e {output}")


def _model_fields(done: Any) -> dict[str, Any]:  # noqa: ANN401
    preset = done.preset
    return {
        "encoder": f"original-{preset.latent_dim}",
        "size": preset.size,
        "latent_dim": preset.latent_dim,
        "filters": list(preset.filters),
        "relu": preset.relu,
        "slope": preset.slope,
        "parameters": done.parameters,
    }
