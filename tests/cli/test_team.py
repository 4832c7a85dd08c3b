"""A gallery on a server, from the command line."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lookalike import Gallery
from lookalike.errors import MissingExtra
from tests.engines import gallery_name, postgres

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.mark.postgresql
def test_a_folder_is_indexed_searched_and_copied_by_url(run: Run, photos: Path, tmp_path: Path) -> None:
    url = postgres().url(gallery_name(tmp_path)).replace("me@", "me:s3cret@")
    done = run("index", photos, "-i", url, "-e", "histogram")
    assert done.status == 0, done.err
    assert "12 pictures" in done.err
    run("index", photos, "-i", tmp_path / "local", "-e", "histogram")
    each = [run("search", photos / "003.jpg", "-i", place, "--json").json for place in (url, tmp_path / "local")]
    assert each[0]["hits"] == each[1]["hits"]
    back = run("copy", url, tmp_path / "back", "--json")
    assert back.json["pictures"] == 12
    info = run("info", "-i", url)
    verified = run("verify", "-i", url)
    assert verified.status == 0, verified.err
    exported = run("export", tmp_path / "all.gallery", "-i", url)
    assert exported.status == 0, exported.err
    for one in (done, back, info, verified, exported):
        assert "s3cret" not in one.out + one.err
    with Gallery.open(tmp_path / "back") as local, Gallery.open(url) as team:
        assert [str(path) for path in local] == [str(path) for path in team]
        assert "s3cret" not in repr(team) + team.location


@pytest.mark.postgresql
def test_a_url_without_a_gallery_says_how_to_make_one(run: Run, tmp_path: Path) -> None:
    url = postgres().url(gallery_name(tmp_path)).replace("me@", "me:s3cret@")
    done = run("search", "x.jpg", "-i", url)
    assert done.status == 2
    assert "lookalike index" in done.err
    assert "s3cret" not in done.err


def test_nothing_for_servers_is_imported_for_a_gallery_in_a_folder(photos: Path, tmp_path: Path) -> None:
    program = (
        "import sys, lookalike; from pathlib import Path\n"
        "with lookalike.Gallery.open(sys.argv[2], encoder='histogram', create=True) as gallery:\n"
        "    gallery.index(sys.argv[1]); gallery.search(Path(sys.argv[1]) / '000.jpg')\n"
        "import lookalike.cli\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('psycopg', 'pymilvus', 'grpc', 'ray', 'obstore')"
        " or name.startswith(('lookalike.store.postgresql', 'lookalike.store.milvus'))])"
    )
    done = subprocess.run([sys.executable, "-c", program, photos, tmp_path / "g"], capture_output=True, text=True)
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr


@pytest.mark.parametrize(("client", "extra"), [("psycopg", "postgresql"), ("pymilvus", "milvus")])
def test_without_its_client_a_server_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, client: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name.startswith((client, f"lookalike.store.{extra}"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(MissingExtra, match=client) as error:
        Gallery.open(f"{extra}://me@127.0.0.1:1/x")
    assert f"lookalike[{extra}]" in error.value.hint
