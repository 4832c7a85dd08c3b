"""A gallery on a server, from the command line."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from lookalike import Gallery
from lookalike.errors import MissingExtra
from lookalike.web.app import create_app
from lookalike.web.served_gallery import ServedGallery
from lookalike.web.settings import Settings
from tests.engines import gallery_name, milvus, postgres

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("postgresql", "milvus")])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a gallery that is not there, with a password in it."""
    server = postgres() if request.param == "postgresql" else milvus()
    return server.url(gallery_name(tmp_path)).replace("me@", "me:s3cret@")


def test_a_folder_is_indexed_searched_and_copied_by_url(run: Run, url: str, photos: Path, tmp_path: Path) -> None:
    done = run("index", photos, "-i", url, "-e", "histogram")
    assert done.status == 0, done.err
    assert "12 pictures" in done.err
    run("index", photos, "-i", tmp_path / "local", "-e", "histogram")
    each = [run("search", photos / "003.jpg", "-i", place, "--json").json for place in (url, tmp_path / "local")]
    assert each[0]["hits"] == each[1]["hits"]
    back = run("copy", url, tmp_path / "back", "--json")
    assert back.json["pictures"] == 12
    up = run("copy", tmp_path / "local", url, "--json")
    assert up.json["pictures"] == 12
    info = run("info", "-i", url)
    verified = run("verify", "-i", url)
    assert verified.status == 0, verified.err
    exported = run("export", tmp_path / "all.gallery", "-i", url)
    assert exported.status == 0, exported.err
    with Gallery.open(tmp_path / "back") as local, Gallery.open(url) as team:
        assert [str(path) for path in local] == [str(path) for path in team]
        _assert_hidden(repr(team), team.location)
        found = _ask_the_server(team, photos / "003.jpg", tmp_path / "thumbnails")
        paths = [[hit["path"] for hit in one["hits"]] for one in (found, each[0])]
        assert paths[0][1:5] == paths[1][:4]  # the picture itself comes first, since it is sent as a new one
    for one in (done, back, up, info, verified, exported):
        _assert_hidden(one.out, one.err)


def _ask_the_server(team: Gallery, picture: Path, cache: Path) -> Any:
    """What `lookalike serve` answers on top of a gallery."""
    with contextlib.closing(ServedGallery(team, cache=cache)) as served:
        served.start()
        served.settle()
        app: Any = create_app(served, Settings())
        client = TestClient(app, "http://127.0.0.1:8765", client=("127.0.0.1", 50_000))
        return client.post("/api/v1/search", files={"file": picture.read_bytes()}).json()


def _assert_hidden(*texts: str) -> None:
    for text in texts:
        assert ":s3cret" not in text
        assert ":Milvus" not in text


def test_a_url_without_a_gallery_says_how_to_make_one(run: Run, url: str) -> None:
    done = run("search", "x.jpg", "-i", url)
    assert done.status == 2
    assert "lookalike index" in done.err
    _assert_hidden(done.err)


@pytest.mark.milvus
def test_a_wrong_password_is_named_and_not_shown(run: Run, tmp_path: Path) -> None:
    done = run("info", "-i", milvus().url(gallery_name(tmp_path)).replace(":Milvus@", ":wr0ng@"))
    assert done.status == 1
    assert "refuses this user and password" in done.err
    assert "MILVUS_PASSWORD" in done.err
    assert "wr0ng" not in done.err


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
