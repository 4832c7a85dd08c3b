"""Build the release, check what is in it, and try the wheel in an empty environment (`make release-check`).

The last step asks the package index for the dependencies; `--offline` leaves it out.
"""

from __future__ import annotations

import argparse
import email
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_DISTRIBUTIONS = 20
MOST_BYTES = 250_000_000  # as pip leaves them, with what it compiles: 248.8 MB, of which 33.7 is bytecode
LEFT_OUT = re.compile(r"\.gitignore$")
TRY = """
import sys
from pathlib import Path
from PIL import Image
for seed in range(8):
    Image.effect_noise((90, 60), 20 + seed).convert("RGB").save(Path(sys.argv[1]) / f"{seed}.jpg")
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--offline", action="store_true", help="do not try the wheel")
    options.add_argument("--keep", type=Path, metavar="FOLDER", help="write the two files of the release there")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = chosen.keep or Path(folder) / "dist"
        sdist, wheel = build(out)
        problems = [*check_sdist(sdist), *check_wheel(wheel), *check_metadata(wheel)]
        problems += check_address(wheel, is_kept=chosen.keep is not None)
        problems += check_rebuilt(sdist, wheel, Path(folder))
        if not chosen.offline:
            problems += try_wheel(wheel, Path(folder))
    if problems:
        sys.exit("\n".join(problems))
    print("the release is complete")


def build(out: Path, source: Path = ROOT) -> tuple[Path, Path]:
    """The sdist and the wheel of a source tree."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", out.absolute()]
    subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def check_sdist(sdist: Path) -> list[str]:
    """Whether everything that git tracks is in the sdist."""
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    missing = {name for name in tracked.splitlines() if not LEFT_OUT.search(name)} - inside
    return [f"the sdist lacks {name}" for name in sorted(missing)]


def check_wheel(wheel: Path) -> list[str]:
    """Whether every file of the package is in the wheel, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.startswith("lookalike/")}
    listed = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    wanted = {name.removeprefix("src/") for name in listed.splitlines()}
    lacking, more = sorted(wanted - inside), sorted(inside - wanted)
    return [*(f"the wheel lacks {name}" for name in lacking), *(f"the wheel has {name}" for name in more)]


def check_metadata(wheel: Path) -> list[str]:
    """Whether a package index can show the project: what it is, by whom, where, and a page whose links work."""
    found = email.message_from_string(read_metadata(wheel).decode())
    fields = ("Name", "Version", "Summary", "Author", "License-Expression", "Requires-Python", "Keywords")
    problems = [f"the metadata lacks {field}" for field in fields if not found[field]]
    problems += [f"the metadata has no {field}" for field in ("Project-URL", "Classifier") if not found.get_all(field)]
    if found["Description-Content-Type"] != "text/markdown":
        problems.append("the long description is not said to be Markdown")
    links = re.findall(r"\]\(([^)\s]+)\)", str(found.get_payload()))
    if not links:
        problems.append("the long description has no links: is it the README?")
    return problems + [f"a relative link in the long description: {link}" for link in links if "://" not in link]


def check_address(wheel: Path, *, is_kept: bool) -> list[str]:
    """Whether the release says where the project lives; a release that is kept has to."""
    if "Homepage, https://repository.invalid" not in read_metadata(wheel).decode():
        return []
    problem = "[project.urls] in pyproject.toml is not the address where the code is: set it before a release"
    if not is_kept:
        print(problem)
    return [problem] * is_kept


def read_metadata(wheel: Path) -> bytes:
    """The metadata of a wheel, as a package index reads them."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")))


def check_rebuilt(sdist: Path, wheel: Path, folder: Path) -> list[str]:
    """Whether the sdist builds the same wheel."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "sdist", filter="data")
    (source,) = (folder / "sdist").iterdir()
    _, again = build(folder / "again", source)
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        same = first.namelist() == second.namelist() and all(first.read(n) == second.read(n) for n in first.namelist())
    return [] if same else ["the wheel that is built from the sdist is another one"]


def try_wheel(wheel: Path, folder: Path) -> list[str]:
    """Install the wheel into an empty environment, weigh it, and let it find a picture."""
    home = folder / "environment"
    venv.create(home, with_pip=True)
    command = home / ("Scripts" if sys.platform == "win32" else "bin")
    packages = next(home.rglob("site-packages"))
    there = {path.name for path in packages.iterdir()}  # pip itself
    pip = [command / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, wheel], check=True)
    added = [path for path in packages.iterdir() if path.name not in there]
    count, bytes_ = sum(path.suffix == ".dist-info" for path in added), sum(map(weigh, added))
    print_weights(added, count)
    photos = folder / "photos"
    photos.mkdir()
    subprocess.run([command / "python", "-c", TRY, photos], check=True)
    subprocess.run([command / "lookalike", "--version"], check=True)
    subprocess.run([command / "lookalike", "index", photos, "--no-progress"], check=True)
    copy = shutil.copy(photos / "3.jpg", folder / "query.jpg")  # a picture of the gallery would not find itself
    query = [command / "lookalike", "search", copy, "-i", photos / ".lookalike", "-k", "1"]
    found = subprocess.run([*query, "--filepath-only"], check=True, capture_output=True, text=True).stdout
    problems = [] if found.strip().endswith("3.jpg") else [f"a copy of a picture did not find it but {found!r}"]
    if count > MOST_DISTRIBUTIONS:
        problems.append(f"{count} distributions are installed, more than {MOST_DISTRIBUTIONS}")
    if bytes_ > MOST_BYTES:
        problems.append(f"{bytes_ / 1e6:.0f} MB are installed, more than {MOST_BYTES / 1e6:.0f}")
    return problems


def weigh(path: Path, *, compiled: bool = True) -> int:
    """The bytes of a file or folder of an environment, with or without what Python compiled."""
    files = [file for file in (path, *path.rglob("*")) if file.is_file() and not file.is_symlink()]
    return sum(file.stat().st_size for file in files if compiled or file.suffix != ".pyc")


def print_weights(added: list[Path], count: int) -> None:
    """What the release costs on disk, and its ten largest folders."""
    whole, plain = (sum(weigh(path, compiled=compiled) for path in added) for compiled in (True, False))
    print(f"{count} distributions, {whole / 1e6:.1f} MB as pip leaves them, {plain / 1e6:.1f} MB without bytecode:")
    for path in sorted(added, key=weigh, reverse=True)[:10]:
        print(f"  {weigh(path) / 1e6:5.1f} MB  {path.name}")


if __name__ == "__main__":
    main()
