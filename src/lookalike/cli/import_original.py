"""`lookalike import-original`: convert the model and the index of the original system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lookalike.cli.app import ENCODERS, ForceOption, JsonOption, ProgressOption, command
from lookalike.cli.printing import note, print_fields, print_json, progress_bar
from lookalike.errors import UsageError
from lookalike.files import check_output

__all__: list[str] = []


@command("import-original", "lookalike import-original final_model.h5 features.pkl -o output/original", panel=ENCODERS)
def import_original(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="A features.pkl, a Keras .h5, or both.")],
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the converted files.")
    ] = Path("output/original"),
    slope: Annotated[
        float | None,
        typer.Option(metavar="X", min=0, max=1, help="LeakyReLU slope, if the .h5 does not record it."),
    ] = None,
    relu: Annotated[
        bool | None,
        typer.Option("--relu/--no-relu", help="Whether a ReLU follows the embedding, if the .h5 does not record it."),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The pictures that were indexed; makes a gallery from both files."),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="The order of the pictures, one path per line (default: sorted)."),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(
            "-i",
            "--index",
            metavar="DIR",
            help="Folder of the gallery (default: `features` in the folder of --output).",
        ),
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Convert a model and an index of the original system.

    Nothing in the files is ever executed. The model becomes an encoder; to search with it: lookalike index FOLDER -e
    DIR. The index
    becomes DIR/features.npz. With --pictures it also becomes a gallery, if encoding each picture gives the embedding
    that the index has for it.
    """
    from lookalike.gallery import protected  # noqa: PLC0415  (numpy)
    from lookalike.training import original  # noqa: PLC0415  (numpy; TensorFlow for a model)

    models = [file for file in files if original.is_weights_file(file)]
    indexes = [file for file in files if file not in models]
    if len(models) > 1 or len(indexes) > 1:
        raise UsageError("one model and one index can be converted at a time")
    if pictures is not None and not (models and indexes):
        raise UsageError("--pictures needs a model and an index: a gallery is made from both")
    table = output / "features.npz"
    check_output(table, force=force or not indexes, protects=protected)
    features = original.read_features(indexes[0]) if indexes else None
    done: dict[str, Any] = {"output": str(output)}
    if models:
        done |= _model_fields(original.import_model(models[0], output, slope=slope, relu=relu))
    if features is not None:
        features.save(table, force=force)
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
        print_fields(done)
        if models:
            note(f"use it: lookalike index FOLDER -e {output}")


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
