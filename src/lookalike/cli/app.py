"""The frame of the command line: the application, its help, and the options that commands share.

Nothing heavy is imported here: `lookalike --help` is read far more often than anything is indexed.
"""

from __future__ import annotations

import logging
import math
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.models import TyperPath

import lookalike
from lookalike.files import expand_home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typer._click import Context, HelpFormatter, Parameter
    from typer._click.parser import _OptionParser

__all__ = [
    "ENCODERS",
    "FIND",
    "GALLERY",
    "LONGEST_TIMEOUT",
    "OLD_SPELLINGS",
    "RESEARCH",
    "DeviceOption",
    "EncoderOption",
    "FollowLinksOption",
    "ForceOption",
    "IndexOption",
    "JsonOption",
    "MegapixelsOption",
    "ModelOption",
    "OrderOption",
    "ProgressOption",
    "RayOption",
    "SplitsOption",
    "ThresholdOption",
    "TimeoutOption",
    "WaitOption",
    "app",
    "command",
    "complete_encoder",
    "complete_experiment",
    "complete_preset",
    "group",
    "read_location",
    "read_name",
]

_Function = TypeVar("_Function", bound="Callable[..., Any]")

FIND, GALLERY, ENCODERS, RESEARCH = (
    "Find pictures",
    "Look after a gallery",
    "Encoders and training",
    "Research",
)

LONGEST_TIMEOUT = 3600
"""The most seconds that one picture may be given."""

# Deprecated since 0.1, until 0.2; CHANGELOG.md says so.
OLD_SPELLINGS = {
    "adapt": {"--numbers": "--dim", "-n": "-d"},
    "bench search": {"--rows": "--embeddings"},
}
"""Renamed options by command: the old name, which is hidden and kept for one release, and the new one."""


class _Loudness:
    """The options `-v` and `-q`, which stand before a command or after it."""

    @cached_property
    def options(self) -> list[Parameter]:
        return [
            TyperOption(
                param_decls=["-v", "--verbose"],
                type=int,
                count=True,
                default=0,
                expose_value=False,
                callback=_set_verbose,
                help="Log what happens to stderr; -vv logs more.",
            ),
            TyperOption(
                param_decls=["-q", "--quiet"],
                is_flag=True,
                default=False,
                expose_value=False,
                callback=_set_quiet,
                help="Print errors only.",
            ),
        ]


def _set_verbose(_context: Context, _option: Parameter, count: int) -> None:
    if count:
        logging.getLogger("lookalike").setLevel(logging.INFO if count == 1 else logging.DEBUG)


def _set_quiet(_context: Context, _option: Parameter, is_quiet: bool) -> None:  # noqa: FBT001  (Click's signature)
    if is_quiet:
        logging.getLogger("lookalike").setLevel(logging.ERROR)


def read_name(text: str) -> str:
    """A path, name or URL as a person typed it: `~` is the home folder, and `./~` a file that is really called so."""
    if text.startswith("./~"):
        return os.path.abspath(text)  # a Path would forget the dot
    return expand_home(text)


def read_location(text: str) -> str:
    """A gallery's folder or URL as a person typed it, without a password, so that nothing can print one."""
    from lookalike.store.secrets import hide_secrets  # noqa: PLC0415  (2 ms, and only where a location is given)

    return hide_secrets(read_name(text))


class _PathType(TyperPath):
    """A path whose `~` is expanded, where the shell has not done it: `--index=~/gallery`."""

    def convert(self, value: Any, param: Parameter | None, ctx: Any) -> Any:  # noqa: ANN401  (Typer's)
        try:
            return super().convert(read_name(value) if isinstance(value, str) else value, param, ctx)
        except ValueError as error:  # a zero byte, or a surrogate that stands for no byte
            raise typer.BadParameter(f"{value!r} is not a path: {error}", ctx=ctx, param=param) from None


def _check_number(param: Parameter) -> None:
    """Let an option reject what is not a number, which no limit excludes: every comparison with it is false."""
    cast = param.type_cast_value

    def check(ctx: Context, value: Any) -> Any:  # noqa: ANN401  (Typer's)
        number = cast(ctx, value)
        if isinstance(number, float) and math.isnan(number):
            raise typer.BadParameter(f"{value!r} is not a number.", ctx=ctx, param=param)
        return number

    param.type_cast_value = check  # type: ignore[method-assign]


def _prepare(params: list[Parameter]) -> None:
    for param in params:
        if isinstance(param.type, TyperPath):
            param.type.__class__ = _PathType
        elif param.type.name.startswith("float"):
            _check_number(param)


class _Command(_Loudness, TyperCommand):
    """A command that also takes -v, -q and the old spellings of its options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  (Typer's)
        super().__init__(*args, **kwargs)
        _prepare(self.params)

    def get_params(self, ctx: Context) -> list[Parameter]:
        *params, help_option = super().get_params(ctx)
        return [*params, *self.options, help_option]

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]  # as others write it

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        given = {each.partition("=")[0] for each in args}
        used = [(old, new) for old, new in OLD_SPELLINGS.get(_path(ctx), {}).items() if old in given]
        rest = super().parse_args(ctx, args)
        for old, new in used:
            _warn_of_old_spelling(old, new)
        return rest

    def make_parser(self, ctx: Context) -> _OptionParser:
        parser = super().make_parser(ctx)
        known = parser._long_opt, parser._short_opt  # noqa: SLF001  (the one way to an option that no help shows)
        for old, new in OLD_SPELLINGS.get(_path(ctx), {}).items():
            options = known[len(old) == len("-n")]
            options[old] = options[new]
        return parser


class _Group(_Loudness, TyperGroup):
    """Commands in groups, each with a summary that is never cut off."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        *params, help_option = super().get_params(ctx)
        return [*params, *self.options, help_option]

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002  (Click's signature)
        width = max(map(len, self.commands))
        for heading, names in self._panels().items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), _summary(self.commands[name].help)) for name in names])

    def _panels(self) -> dict[str, list[str]]:
        panels: dict[str, list[str]] = {}
        for name, each in self.commands.items():
            panels.setdefault(getattr(each, "rich_help_panel", None) or "Commands", []).append(name)
        return {name: panels[name] for name in (FIND, GALLERY, ENCODERS, RESEARCH, "Commands") if name in panels}


def _warn_of_old_spelling(old: str, new: str) -> None:
    from lookalike.cli.printing import note  # noqa: PLC0415  (json and more, only where something is to be said)

    note(f"warning: {old} is called {new} since 0.1; the old spelling works until 0.2")


def _summary(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


def _path(ctx: Context) -> str:
    """The command of a context without the program's name, such as `bench search`."""
    return " ".join(reversed([str(each.info_name) for each in _with_parents(ctx) if each.parent is not None]))


def _with_parents(ctx: Context | None) -> Iterator[Context]:
    while ctx is not None:
        yield ctx
        ctx = ctx.parent


app = typer.Typer(
    name="lookalike",
    cls=_Group,
    help="Find the pictures in your own collection that look alike. Nothing leaves this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawn by rich, the help alone costs twice the import of typer and rich
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  (Typer's signature)
    if wanted:
        typer.echo(f"lookalike {lookalike.__version__}")
        raise typer.Exit


@app.callback(epilog="For a command's options and examples: lookalike COMMAND --help")
def _frame(
    *,
    version: Annotated[
        bool, typer.Option("-V", "--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find the pictures in your own collection that look alike. Nothing leaves this machine."""


def command(
    name: str, *examples: str, panel: str | None = None, under: typer.Typer = app
) -> Callable[[_Function], _Function]:
    """Register a function as a command, in a group of the help, with examples below its options."""
    return under.command(name, cls=_Command, rich_help_panel=panel, epilog=_shown_examples(examples))


def group(name: str, *examples: str, panel: str, text: str, is_command: bool = False) -> typer.Typer:
    """Register a command with commands of its own below it. is_command: whether it does something alone."""
    made = typer.Typer(
        cls=_Group,
        help=text,
        epilog=_shown_examples(examples),
        invoke_without_command=is_command,
        no_args_is_help=not is_command,
    )
    app.add_typer(made, name=name, rich_help_panel=panel)
    return made


def _shown_examples(examples: tuple[str, ...]) -> str:
    return "\b\n" + "\n".join([f"Example{'s' if len(examples) > 1 else ''}:", *(f"  {line}" for line in examples)])


def complete_encoder(incomplete: str) -> list[tuple[str, str]]:
    """The names of encoders that begin so, each with what it was trained on."""
    from lookalike.encoders import encoder_names, learned_names  # noqa: PLC0415  (only when a shell asks)

    found = [(name, "built in") for name in encoder_names()]
    found += [(name, "learned from your own pictures") for name in learned_names()]
    return [(name, text) for name, text in found if name.startswith(incomplete)]


def complete_preset(incomplete: str) -> list[tuple[str, str]]:
    """The names of presets that begin so, each with its description."""
    from lookalike.encoders import learned_names  # noqa: PLC0415  (only when a shell asks)

    found = [*_complete_experiments(), *((name, "learned from small pieces, no network") for name in learned_names())]
    return [(name, text) for name, text in found if name.startswith(incomplete)]


def complete_experiment(incomplete: str) -> list[tuple[str, str]]:
    """The names of experiments that begin so, each with its description."""
    return [(name, text) for name, text in _complete_experiments() if name.startswith(incomplete)]


def _complete_experiments() -> list[tuple[str, str]]:
    from lookalike.training.presets import PRESETS  # noqa: PLC0415  (only when a shell asks)

    return [(preset.name, preset.description) for preset in PRESETS.values()]


def _check_timeout(seconds: float) -> float:
    if not 0 < seconds <= LONGEST_TIMEOUT:  # neither is true of nan
        raise typer.BadParameter(f"{seconds:g} is not between 0 and {LONGEST_TIMEOUT:,}")
    return seconds


def _check_threshold(distance: float | None) -> float | None:
    if distance is not None and not 0 <= distance < math.inf:  # neither is true of nan
        raise typer.BadParameter(f"{distance:g} is not a distance: give a number of at least 0")
    return distance


def _use_device(context: typer.Context, device: str) -> str:
    """Load encoders on this device for as long as the command runs. Raises UsageError if it is not there."""
    from lookalike.encoders import on_device  # noqa: PLC0415  (4 ms)

    if not context.resilient_parsing:  # as when a shell completes a line
        context.with_resource(on_device(device))
    return device


IndexOption = Annotated[
    str | None,  # not a Path, which would make one slash of the two in a URL
    typer.Option(
        "-i",
        "--index",
        metavar="DIR|URL",
        parser=read_location,
        envvar="LOOKALIKE_INDEX",
        help="Folder or URL of the gallery (default: the nearest .lookalike in this folder or above it).",
    ),
]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        "-e",
        "--encoder",
        metavar="NAME|FILE",
        parser=read_name,
        autocompletion=complete_encoder,
        help="Name of an encoder, a model file or folder, or hf:OWNER/NAME[@COMMIT] (default: the gallery's, or the "
        "first of `lookalike encoders`).",
    ),
]
SplitsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        metavar="CSV",
        parser=read_name,
        help="CSV file with the columns file, class and split; with several folders FOLDER=CSV, repeatable.",
    ),
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda", "coreml", "directml"],
    typer.Option(callback=_use_device, help="Where the encoder runs; auto takes the best that this machine offers."),
]
ModelOption = Annotated[Path | None, typer.Option("-m", "--model", metavar="DIR", help="Folder of a trained model.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
FollowLinksOption = Annotated[bool, typer.Option("--follow-links", help="Follow symbolic links to files.")]
MegapixelsOption = Annotated[
    float, typer.Option(metavar="N", help="Skip pictures of more than this many million pixels.")
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        callback=_check_timeout,
        help="Skip pictures that take longer than this to read; the next run tries them again.",
    ),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        metavar="DISTANCE", callback=_check_threshold, help="Show only pictures within this distance (0 = identical)."
    ),
]
OrderOption = Annotated[
    Literal["distance", "diffusion"],
    typer.Option(help="distance: nearest first; diffusion: re-rank to bring up more of the same kind."),
]
WaitOption = Annotated[
    float,
    typer.Option(metavar="SECONDS", min=0, help="How long to wait while another process is writing to the gallery."),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Encode on a Ray cluster: HOST:PORT, or auto for the one that this machine belongs to."
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is already there.")]
ProgressOption = Annotated[bool, typer.Option("--no-progress", help="Hide the progress bar.")]
