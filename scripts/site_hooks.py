"""What `make docs` adds to the pages: the reference, made from the code, and the list of measurements."""

from __future__ import annotations

import inspect
import posixpath
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FETCHED = "https://unpkg.com/iframe-worker/shim"
LINK = re.compile(r"\[([^\]\n]*)\]\((?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]*)?\)")
ROOT = Path(__file__).parents[1]
RESULTS = "results/index.md"


def read_address() -> str | None:
    """Where the repository is, from `pyproject.toml`; None until that has been set."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address = str(project["urls"]["Homepage"])
    return None if ".invalid/" in address else address


def on_config(config: Any) -> None:  # noqa: ANN401  (MkDocs')
    """Show the address of the repository on every page, if there is one."""
    config["repo_url"] = read_address()


def on_files(files: Any, config: Any) -> Any:  # noqa: ANN401  (MkDocs')
    """Add the pages that no one writes."""
    from mkdocs.structure.files import File  # noqa: PLC0415  (only where the site is built)

    for name, text in {**make_reference(), RESULTS: "\n".join(describe_results())}.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:  # noqa: ANN401  (MkDocs')
    """Lead links to folders of measurements to their list, and links out of the site to the repository."""
    here = posixpath.dirname(page.file.src_uri)

    def lead(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", here, found[2]))
        inside = posixpath.relpath(target, "docs")
        if files.get_file_from_path(inside) is not None:
            return found[0]
        if inside.split("/")[0] == "results":
            return f"[{found[1]}]({posixpath.relpath(RESULTS, here or '.')}#{inside.rpartition('/')[2]})"
        if config["repo_url"] is None:
            return found[1]
        kind = "blob" if "." in posixpath.basename(target) else "tree"
        return f"[{found[1]}]({config['repo_url'].rstrip('/')}/{kind}/main/{target}{found[3] or ''})"

    return LINK.sub(lead, markdown)


def on_post_page(output: str, page: Any, config: Any) -> str:  # noqa: ANN401, ARG001  (MkDocs')
    """Take the one script that the theme would fetch, for searching in a page that is not served, from the site."""
    here = posixpath.dirname(page.url) or "."
    return output.replace(FETCHED, posixpath.relpath("javascripts/iframe-worker.js", here))


def on_post_template(output_content: str, template_name: str, config: Any) -> str:  # noqa: ANN401, ARG001  (MkDocs')
    """The same for the page that says that there is none."""
    return output_content.replace(FETCHED, "javascripts/iframe-worker.js")


def make_reference() -> dict[str, str]:
    """The pages of the reference by their names, as Markdown."""
    return {
        "reference/command-line.md": "\n".join(describe_commands()),
        "reference/python.md": "\n".join(describe_names()),
    }


def describe_results() -> Iterator[str]:
    """The files of measurements from which the pages are made, folder by folder."""
    yield "# Measurements\n"
    yield "What the programs of this project measured and the pages quote, as the programs wrote it (JSON).\n"
    results = ROOT / "docs" / "results"
    for folder in (results, *sorted(path for path in results.rglob("*") if path.is_dir())):
        yield f"## {folder.name}\n"
        names = [file.relative_to(results).as_posix() for file in sorted(folder.iterdir()) if file.is_file()]
        yield "\n".join(f"- [{name}]({name})" for name in names) + "\n"


def describe_commands() -> Iterator[str]:
    """Every command: what it does, how it is called, its arguments and options, and examples."""
    import typer  # noqa: PLC0415

    import lookalike.cli  # noqa: F401, PLC0415  (registers the commands)
    from lookalike.cli.app import app  # noqa: PLC0415

    yield "# Command line\n"
    yield "Made from the code of this version; `lookalike COMMAND --help` prints the same.\n"
    main: Any = typer.main.get_command(app)
    for name, command in main.commands.items():
        yield from _describe_command(f"lookalike {name}", command, 2)


def _describe_command(path: str, command: Any, level: int) -> Iterator[str]:  # noqa: ANN401  (Typer's)
    if command.hidden:
        return
    yield f"{'#' * level} `{path}`\n"
    yield _as_text(command.help or "") + "\n"
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    for title, found in (("argument", arguments), ("option", options)):
        if found:
            yield f"| {title} | what it does |\n|---|---|"
            yield from (f"| {_name(each)} | {_as_cell(each.help or '')}{_default(each)} |" for each in found)
            yield ""
    examples = [line.strip() for line in (command.epilog or "").splitlines() if line.startswith("  ")]
    if examples:
        yield "\n".join(["```text", *examples, "```\n"])
    for name, below in getattr(command, "commands", {}).items():
        yield from _describe_command(f"{path} {name}", below, level + 1)


def _name(parameter: Any) -> str:  # noqa: ANN401  (Typer's)
    shown = ", ".join(f"`{each}`" for each in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        return f"`{(parameter.metavar or parameter.name).upper()}`"
    return f"{shown} `{parameter.metavar}`" if parameter.metavar else shown


def _default(parameter: Any) -> str:  # noqa: ANN401  (Typer's)
    value = parameter.default
    is_shown = isinstance(value, (int, float, str)) and not isinstance(value, bool) and value != ""
    return f" Default: `{value}`." if is_shown and "default" not in (parameter.help or "") else ""


def describe_names() -> Iterator[str]:
    """Every public name of the package: signature, what it is, and its own methods."""
    import lookalike  # noqa: PLC0415

    yield "# Python\n"
    yield "Every name of `lookalike.__all__`, made from the code of this version. For a guide with examples, see"
    yield "[Python](../python.md).\n"
    for name in lookalike.__all__:
        yield from _describe_name(name, getattr(lookalike, name))


def _describe_name(name: str, value: Any) -> Iterator[str]:  # noqa: ANN401  (anything public)
    yield f"## `{name}`\n"
    yield f"```text\n{name}{_signature(value)}\n```\n"
    yield _as_text(inspect.getdoc(value) or "") + "\n"
    if inspect.isclass(value):
        for attribute, member in vars(value).items():
            if not attribute.startswith("_") and (inspect.getdoc(_unwrapped(member)) or "").strip():
                yield from _describe_member(name, attribute, member)


def _describe_member(name: str, attribute: str, member: Any) -> Iterator[str]:  # noqa: ANN401  (of a class)
    inner = _unwrapped(member)
    if not (inspect.isfunction(inner) or isinstance(member, property)):
        return
    yield f"### `{name}.{attribute}`\n"
    if not isinstance(member, property):
        yield f"```text\n{attribute}{_signature(inner)}\n```\n"
    yield _as_text(inspect.getdoc(inner) or "") + "\n"


def _unwrapped(member: Any) -> Any:  # noqa: ANN401  (of a class)
    return inspect.unwrap(getattr(member, "__func__", member))


def _signature(value: Any) -> str:  # noqa: ANN401  (anything public)
    try:
        return str(inspect.signature(value)).replace("'", "")
    except (TypeError, ValueError):
        return ""


def _as_text(text: str) -> str:
    """A docstring as Markdown: lines that are indented, such as examples, become code."""
    text = text.replace("\b", "").strip()
    text = re.sub(r"<(?=\w)", "&lt;", text)
    return re.sub(r"(?m)^( {2,}\S.*)$", r"    \1", text)


def _as_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
