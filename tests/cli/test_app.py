"""The frame of the command line: its help, its words, completion, and what it says and keeps to itself."""

from __future__ import annotations

import logging
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer

import lookalike
from lookalike.cli.app import OLD_SPELLINGS, app
from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Run

FORBIDDEN = ("is no ", "anew", "at most so", "told", "goes on", "somebody", "of ours")
ROOT: Any = typer.main.get_command(app)


def walk(each: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with its path; also the commands of commands."""
    yield " ".join(path), each
    for name, below in getattr(each, "commands", {}).items():
        yield from walk(below, (*path, name))


def context(path: str, *arguments: str) -> Any:
    """What Click makes of a command and its arguments, as it is called below `lookalike`."""
    found = parent = ROOT.make_context("lookalike", [*path.split(), "x"])
    each = ROOT
    for name in path.split():
        each = each.commands[name]
        is_last = not hasattr(each, "commands")
        found = each.make_context(name, list(arguments) if is_last else ["x"], parent=parent)
        parent = found
    return found


COMMANDS = dict(walk())
each_command = pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path or "lookalike")


@each_command
def test_every_option_has_a_help_text_of_at_most_two_sentences(path: str) -> None:
    for option in COMMANDS[path].get_params(typer.Context(COMMANDS[path])):
        text = option.help
        assert text, option.name
        assert text.endswith("."), text
        assert text[0].isupper() or text.startswith("distance: "), text
        assert len(re.findall(r"[.!?](?:\s|$)", text.replace("e.g. ", ""))) <= 2, text
        assert not [phrase for phrase in FORBIDDEN if phrase in text], text


@each_command
def test_no_option_shows_a_type_of_the_code(run: Run, path: str) -> None:
    assert not re.search(r"<(?:int|str|path|float)|None|[{}]", run(*path.split(), "--help").out)


@each_command
def test_every_command_has_a_summary_that_is_not_cut_off(run: Run, path: str) -> None:
    text = run(*path.split(), "--help").out
    assert not re.search(r"[a-z:]\.\.\.", text)
    assert not [phrase for phrase in FORBIDDEN if phrase in text]
    for name, each in getattr(COMMANDS[path], "commands", {}).items():
        summary = each.help.split("\n\n")[0]
        assert summary.endswith(".")
        assert re.search(rf"^  {name} +{re.escape(summary)}$", text, re.MULTILINE), summary


@each_command
def test_every_command_has_an_example_that_it_understands(path: str) -> None:
    examples = re.findall(r"^ *(lookalike .*)$", COMMANDS[path].epilog or "", re.MULTILINE)
    assert examples or not path
    for example in examples:
        words = shlex.split(example)[1:]
        assert " ".join(words).startswith(path)
        names = [""]
        while words and words[0] in getattr(COMMANDS[names[-1]], "commands", {}):
            names.append(f"{names[-1]} {words.pop(0)}".strip())
        context(names[-1], *words)


def test_the_help_shows_commands_in_groups(run: Run) -> None:
    done = run("--help").out
    headings = re.findall(r"^(\w[\w ]+):$", done, re.MULTILINE)
    assert headings == ["Options", "Find pictures", "Look after a gallery", "Encoders and training", "Research"]
    assert run("-h").out == done
    for command in ROOT.commands:
        assert f"  {command} " in done


def test_a_narrow_terminal_wraps_summaries(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    words = run("--help").out.split()
    for each in ROOT.commands.values():
        assert each.help.split("\n\n")[0].split()[-1] in words


def test_the_version_can_be_asked_for(run: Run) -> None:
    for option in ("--version", "-V"):
        done = run(option)
        assert (done.status, done.out, done.err) == (0, f"lookalike {lookalike.__version__}\n", "")


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    script = "import sys; sys.argv = ['lookalike', '--help']\nimport lookalike.__main__ as m\n"
    script += "try: m.main()\nexcept SystemExit: pass\nprint(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    for command in (
        "index",
        "search",
        "remove",
        "skipped",
        "info",
        "verify",
        "adapt",
        "retry",
        "relocate",
        "export",
        "import",
        "compact",
        "bench",
    ):
        assert f"  {command} " in done.stdout
    for module in ("numpy", "PIL", "onnxruntime", "pydantic", "rich", "tensorflow"):
        assert f"'{module}'" not in done.stderr


OLD = [(path, old, new) for path, renamed in OLD_SPELLINGS.items() for old, new in renamed.items()]


def test_the_old_spellings_are_those_of_the_last_release() -> None:
    assert OLD == [
        ("adapt", "--numbers", "--dim"),
        ("adapt", "-n", "-d"),
        ("bench search", "--rows", "--embeddings"),
    ]


@pytest.mark.parametrize(("path", "old", "new"), OLD)
def test_an_old_spelling_still_works_and_is_hidden(run: Run, path: str, old: str, new: str) -> None:
    text = run(*path.split(), "--help").out
    assert re.search(rf"(?<![\w-]){new}\b", text)
    assert not re.search(rf"(?<![\w-]){old}\b", text)
    assert context(path, old, "5").params == context(path, new, "5").params != context(path).params
    if old.startswith("--"):
        assert context(path, f"{old}=5").params == context(path, new, "5").params


def test_an_option_that_never_was_is_still_refused(run: Run) -> None:
    assert run("info", "--numbers", 3).status == 2
    assert run("adapt", "--numbres", 3).status == 2


def test_an_old_spelling_does_what_the_new_one_does(run: Run, gallery: Path) -> None:
    done = run("adapt", "-i", gallery, "--numbers", 5, "--json")
    assert done.json["dim"] == 5
    assert done.err == "warning: --numbers is called --dim since 0.1; the old spelling works until 0.2\n"
    assert run("-q", "adapt", "-i", gallery, "--numbers=5", "--json").err == ""
    assert run("adapt", "-i", gallery, "-n4", "--json").json["dim"] == 4


def completed(run: Run, monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    """What a shell gets that asks how a line may end."""
    monkeypatch.setenv("_LOOKALIKE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    done = run()
    assert (done.status, done.err) == (0, "")
    return done.out.split()


def test_encoders_are_completed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed(run, monkeypatch, "lookalike index Photos -e hist") == ["histogram"]
    assert {"efficientnet-lite0", "patches"} <= set(completed(run, monkeypatch, "lookalike evaluate Photos --encoder "))
    assert completed(run, monkeypatch, "lookalike encoders compare Photos -e self") == ["selfsup"]
    assert completed(run, monkeypatch, "lookalike bench index Photos -e nothing") == []


def test_presets_and_experiments_are_completed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed(run, monkeypatch, "lookalike train Photos --preset exp7") == ["exp7a", "exp7b", "exp7c"]
    assert completed(run, monkeypatch, "lookalike train Photos --preset patc") == ["patches"]
    assert completed(run, monkeypatch, "lookalike experiments run Photos lin") == ["linear"]
    assert completed(run, monkeypatch, "lookalike experiments run Photos patc") == []


def test_commands_and_options_are_completed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed(run, monkeypatch, "lookalike rel") == ["relocate"]
    assert completed(run, monkeypatch, "lookalike adapt --d") == ["--dim"]
    assert completed(run, monkeypatch, "lookalike adapt --nu") == []
    assert completed(run, monkeypatch, "lookalike search a.jpg --order d") == ["distance", "diffusion"]


def test_completion_explains_a_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_LOOKALIKE_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "lookalike index -e histo")
    assert '"histogram":"built in"' in run().out


def test_quiet_prints_errors_only(run: Run, indexed: Path, tmp_path: Path) -> None:
    (indexed / "bad.png").write_bytes(b"\xff" * 1000)
    assert "bad.png" in run("index", indexed).err
    for arguments in (("-q", "index", indexed), ("index", indexed, "-q"), ("index", indexed, "--quiet")):
        done = run(*arguments)
        assert (done.status, done.err) == (0, "")
        assert done.out
    done = run("-q", "search", tmp_path / "nowhere.jpg", "-i", indexed / ".lookalike")
    assert (done.status, "nowhere.jpg" in done.err) == (2, True)


def test_verbosity_is_that_of_one_run_and_may_stand_anywhere(run: Run, indexed: Path) -> None:
    logger = logging.getLogger("lookalike")
    gallery = indexed / ".lookalike"
    for arguments, level in (
        (("info",), logging.WARNING),
        (("-v", "info"), logging.INFO),
        (("info", "-v"), logging.INFO),
        (("-vv", "info"), logging.DEBUG),
        (("info", "-vv"), logging.DEBUG),
        (("info", "--quiet"), logging.ERROR),
        (("info",), logging.WARNING),
    ):
        assert run(*arguments, "-i", gallery).status == 0
        assert logger.level == level


def test_verbose_lines_go_to_stderr_and_results_stay_as_they_are(run: Run, indexed: Path) -> None:
    search = ("search", indexed / "000.jpg", "-i", indexed / ".lookalike", "--json")
    plain, wordy = run(*search), run(*search, "-vv")
    assert wordy.out == plain.out
    assert plain.err == ""
    assert "lookalike." in wordy.err


def test_verbose_names_skipped_files_with_kind_size_and_reason(run: Run, indexed: Path) -> None:
    (indexed / "bad\x1b.png").write_bytes(b"\xff" * 1000)
    err = run("-v", "index", indexed).err
    (line,) = [line for line in err.splitlines() if line.startswith("lookalike.indexing")]
    assert line.endswith("(PNG, 1000 bytes): not an image")
    assert "\x1b" not in err


def test_very_verbose_names_a_file_before_it_is_decoded(run: Run, indexed: Path) -> None:
    (indexed / "new.jpg").write_bytes((indexed / "000.jpg").read_bytes() + b"\0")
    assert f"reads {indexed / 'new.jpg'}" in run("-vv", "index", indexed).err


def test_verbose_says_when_a_gallery_is_adapted(run: Run, gallery: Path) -> None:
    assert "adapted to 12 pictures: 5 dimensions" in run("-v", "adapt", "-d", 5, "-i", gallery).err


def test_the_library_alone_prints_nothing() -> None:
    script = "import lookalike, logging; logging.getLogger('lookalike.store').warning('unheard')"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_verbose_names_the_encoder_that_is_loaded(run: Run, indexed: Path, tmp_path: Path) -> None:
    make_picture(99).save(tmp_path / "new.png")
    err = run("-v", "search", tmp_path / "new.png", "-i", indexed / ".lookalike").err
    assert "loaded the encoder histogram: 1440 dimensions, cosine" in err
