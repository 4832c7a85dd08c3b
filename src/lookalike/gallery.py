"""A gallery: pictures, an encoder and a store together. The one way in for the command line, Python and HTTP."""

from __future__ import annotations

import importlib
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from lookalike.adaptation.plan import adapts_at
from lookalike.encoders import CARD, DEFAULT, MODEL, lasting_name, learned_parts, load_encoder
from lookalike.encoders.threads import guard
from lookalike.errors import ClosedGallery, EncoderMismatch, NoGallery, UsageError
from lookalike.indexing import maintenance
from lookalike.indexing.adapt import adapt, adapt_to_labels
from lookalike.indexing.create import create_store
from lookalike.indexing.folders import canonical_path, known_roots
from lookalike.indexing.update import IndexOptions, Report, embed_files
from lookalike.search import engine
from lookalike.search.pictures import encode_views, query_views
from lookalike.search.query import Query, as_query
from lookalike.store import Maintained, Space, is_folder, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from lookalike.adaptation.lda import Validation
    from lookalike.encoders import Encoder
    from lookalike.explore.neighbours import Neighbours
    from lookalike.images.decode import View
    from lookalike.images.pool import OnProgress
    from lookalike.images.walk import Root
    from lookalike.search.explain import Inspection
    from lookalike.search.hits import Hits
    from lookalike.search.query import Source
    from lookalike.search.rerank import Order
    from lookalike.store import Near, Record, Store
    from lookalike.store.sqlite.repair import Repair

    PathLike = str | bytes | os.PathLike[str]

__all__ = ["FOLDER", "Gallery", "find_gallery"]

FOLDER = ".lookalike"
_ANOTHER = "index into another gallery: lookalike index PHOTOS -e ENCODER -i FOLDER"

_log = logging.getLogger(__name__)


class Gallery:
    """A set of pictures that can be searched. Open it with `Gallery.open`; close it, or use it in a `with`.

    It may be searched from many threads while one of them, or another process, indexes. After `close`, every method
    raises ClosedGallery.
    """

    def __init__(self, store: Store, encoder: Encoder | None = None, *, folder: Path | None = None) -> None:
        """folder: where the encoders lie that were learned for the gallery."""
        self._store: Store | None = store
        self._name = store.location
        self._encoder = encoder and guard(encoder)
        self._folder = folder
        self._loading = threading.Lock()
        if encoder is not None:
            try:
                _check_encoder(encoder, store.space)
            except EncoderMismatch:
                store.close()
                raise

    @classmethod
    def open(  # noqa: PLR0913  (by name, all but one)
        cls,
        location: str | Path | None = None,
        *,
        encoder: str | Path | None = None,
        create: bool = False,
        learn_from: Sequence[PathLike] = (),
        options: IndexOptions | None = None,
        on_progress: OnProgress | None = None,
    ) -> Self:
        """Open the gallery at a location: a folder, or a URL such as `memory:`; by default the nearest `.lookalike`.

        encoder: a name or a model file; only needed to create a gallery, otherwise it must be the gallery's own.
        create: make a new one if there is none. learn_from: the folders from whose pictures an encoder such as
        `patches` is learned then; options and on_progress are for reading these.
        Raises NoGallery, EncoderMismatch, StoreError, EncoderError.
        """
        where = location if location is not None else find_gallery()
        folder = Path(where) if is_folder(where) else None
        try:
            store = open_store(where)
        except NoGallery:
            if not create:
                raise
        else:
            return cls(store, _own_encoder(encoder, store, folder) if encoder is not None else None, folder=folder)
        name = encoder or DEFAULT
        made, loaded = create_store(where, name, learn_from=learn_from, options=options, on_progress=on_progress)
        return cls(made, loaded, folder=folder)

    def close(self) -> None:
        """Let go of files and locks."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def __enter__(self) -> Self:
        _ = self.store  # or it is closed
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._store is None:
            return f"<Gallery {self._name}, closed>"
        return f"<Gallery of {len(self):,} pictures by {self.store.space.encoder}>"

    def __len__(self) -> int:
        return self.store.count()[0]

    def __iter__(self) -> Iterator[Path]:
        return (_path(record.path) for record in self.pictures())

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        found = self.store.find([canonical_path(path, self.store)])
        return any(record.digest is not None for record in found.values())

    @property
    def store(self) -> Store:
        """What the gallery remembers. Raises ClosedGallery."""
        if self._store is None:
            raise ClosedGallery(f"{self._name} is closed", hint="open it again: Gallery.open")
        return self._store

    @property
    def location(self) -> str:
        """What the gallery is opened by: a folder or a URL."""
        return self.store.location

    @property
    def encoder(self) -> Encoder:
        """The gallery's encoder, loaded when it is first needed. Raises EncoderMismatch, UnknownEncoder."""
        space = self.store.space
        if self._encoder is None:
            with self._loading:
                if self._encoder is None:
                    encoder = load_encoder(space.source, self._folder)
                    _check_encoder(encoder, space)
                    self._encoder = guard(encoder)
        return self._encoder

    # Indexing

    def index(
        self,
        *paths: PathLike,
        options: IndexOptions | None = None,
        progress: OnProgress | None = None,
        wait: float = 0.0,
    ) -> Report:
        """Bring the gallery up to date with these folders and files, and adapt it when it has grown enough.

        They and their `options.rules` are remembered: without any path, all that were indexed before are brought up
        to date by the rules they were given. Every batch is on disk before the next begins, so an interrupted run
        resumes where it was. Raises StoreBusy when another process is indexing this gallery for longer than `wait`
        seconds, UsageError when none of the paths exists or none is known.
        """
        store, encoder = self.store, self.encoder
        return maintenance.index_paths(store, encoder, paths, options=options, on_progress=progress, wait=wait)

    def retry(
        self,
        path: PathLike = "/",
        *,
        options: IndexOptions | None = None,
        progress: OnProgress | None = None,
        wait: float = 0.0,
    ) -> Report:
        """Read the skipped files that are `path` or below it again, although they have not changed.

        Those that are gone are left to `index`. Raises StoreBusy; UsageError when nothing was skipped there.
        """
        store, encoder = self.store, self.encoder
        return maintenance.retry(store, encoder, path, options=options, on_progress=progress, wait=wait)

    def relocate(self, old: PathLike, new: PathLike, *, dry_run: bool = False) -> int:
        """Let pictures that were moved from the folder `old` to `new` keep their embeddings; how many files they are.

        Paths are rewritten, all or none; no file is looked at. Raises StoreBusy; UsageError when none is known in
        `old`, or one in its new place as well.
        """
        return maintenance.relocate(self.store, old, new, dry_run=dry_run)

    def remove(self, path: PathLike, *, wait: float = 0.0) -> int:
        """Take a picture, or all pictures below a folder, out of the gallery; how many there were.

        The files stay, and the next `index` of their folder brings them back. A folder that was indexed itself is no
        longer looked after. Raises UsageError if there is none.
        """
        return maintenance.remove(self.store, path, wait=wait)

    def adapt(self, *, dim: int | None = None, blend: bool | None = None, wait: float = 0.0) -> int:
        """Fit the projection again to all embeddings; the dimension of the vectors that are compared is returned.

        dim: dimensions to keep at most, of each part of a hybrid; by default 256 where vectors are blended and 64
        elsewhere. blend: whether they are, as `lookalike.adaptation.plan` has it; None keeps what was chosen before, at
        first what helps. Raises UsageError when there are too few different pictures to fit anything.
        """
        with self.store.writing(wait=wait):
            return adapt(self.store, self.encoder, dim=dim, blend=blend)

    def adapt_to_labels(self, labels: Mapping[bytes, str], *, dim: int | None = None, wait: float = 0.0) -> Validation:
        """Adapt to the classes of some or all pictures, by path, unless it is better without them.

        What was chosen comes back with the figures behind it. dim: dimensions beside the classes, 64 by default. Raises
        UsageError for fewer than two classes of five pictures.
        """
        return adapt_to_labels(self.store, self.encoder, labels, dim=dim, wait=wait)

    # Searching

    def search(  # noqa: PLR0913  (by name, all but two)
        self,
        query: Query | Source,
        k: int = 10,
        *,
        where: Sequence[str] = (),
        weights: Mapping[str, float] | None = None,
        order: Order = "distance",
        exact: bool = False,
        include_self: bool = False,
    ) -> Hits:
        """The k pictures most like `query`: a path, a PIL image, uint8 (h, w, 3) or (h, w), or a `lookalike.Query`.

        A query that is in the gallery by its path or id is not among its own hits unless `include_self`, and is not
        encoded again while its file is unchanged.
        where: filters, as `lookalike.search.filters` has them; k come back where k pictures pass.
        weights: of a hybrid's parts, by name, in [0, 1]; those that are not named share the rest.
        order: "diffusion" puts the nearest thousand in the order in which they are reached from the query through
        pictures that are alike, which finds more of a kind; distances stay those to the query.
        exact: compare with every picture, also in a gallery so large that searches are approximate.
        Raises UnreadableImage, EncoderMismatch, StoreError; UsageError for k < 1, and for an unknown filter or order.
        """
        options = engine.Options(where, weights, order, exact, include_self)
        return engine.search(self.store, lambda: self.encoder, [as_query(query)], k, options)[0]

    def search_many(  # noqa: PLR0913  (by name, all but two)
        self,
        queries: Iterable[Query | Source],
        k: int = 10,
        *,
        where: Sequence[str] = (),
        weights: Mapping[str, float] | None = None,
        order: Order = "distance",
        exact: bool = False,
        include_self: bool = False,
    ) -> list[Hits]:
        """`search` for each of many queries, which are encoded and looked for together."""
        options = engine.Options(where, weights, order, exact, include_self)
        return engine.search(self.store, lambda: self.encoder, [as_query(query) for query in queries], k, options)

    def search_text(self, text: str, k: int = 10, *, where: Sequence[str] = ()) -> Hits:
        """Deprecated: `search(Query.text(text))`."""
        return self.search(Query.text(text), k, where=where)

    def explain(self, query: Query | Source, hit: Query | Source) -> Inspection:
        """Where two pictures match, found by covering either piece by piece. Raises UnreadableImage."""
        explain = importlib.import_module("lookalike.search.explain")
        found = explain.inspect(self.store, lambda: self.encoder, as_query(query), as_query(hit))
        return cast("Inspection", found)

    def neighbours(self, k: int = 10, *, exact: bool = False) -> Iterator[Neighbours]:
        """Every picture of the gallery with the k others most like it, some at a time, by id.

        What is removed meanwhile is left out. Raises StoreError; UsageError for k < 1.
        """
        explore = importlib.import_module("lookalike.explore.neighbours")
        return cast("Iterator[Neighbours]", explore.list_neighbours(self.store, k, exact=exact))

    @property
    def views(self) -> list[View]:
        """How a query is cropped: as the encoder does it, and not at all if that leaves something out."""
        return query_views(self.encoder)

    def encode_views(self, images: Sequence[Image.Image]) -> list[NDArray[np.float32]]:
        """The embeddings of each picture by its views, float32 (views, dim): what it is searched by."""
        return encode_views(self.encoder, images)

    def nearest(
        self, queries: Sequence[NDArray[np.float32]], k: int, *, order: Order = "distance", exact: bool = False
    ) -> list[Near]:
        """The ids of the k pictures nearest to each query, given as its `encode_views`, with their distances."""
        return engine.nearest(self.store, queries, k, order=order, exact=exact)

    def embed_files(
        self, paths: Iterable[bytes], *, view: View | None = None, options: IndexOptions | None = None
    ) -> Iterator[tuple[bytes, NDArray[np.float32] | str]]:
        """Yield every path with its embedding, float32 (dim,), or with the reason why it has none, in order.

        Files are decoded and encoded as `index` does it, many at a time; nothing is kept. view: one of `views`.
        """
        return embed_files(self.encoder, paths, view=view, options=options)

    # What is in it

    def pictures(self) -> Iterator[Record]:
        """Every picture of the gallery as the store knows it, by path."""
        return (record for record in self.store.scan() if record.digest is not None)

    def skipped(self) -> list[tuple[Path, str]]:
        """The files that were met but could not be indexed, with the reason, by path."""
        return maintenance.skipped(self.store)

    @property
    def roots(self) -> list[Root]:
        """The folders and files that were indexed, with their rules: what `index` without a path looks at."""
        return known_roots(self.store)

    def knows(self, path: bytes) -> bool:
        """Whether the file at this absolute path, or one below it, was met: as a picture or skipped."""
        return any(maintenance.below(self.store, canonical_path(path, self.store)))

    def info(self) -> dict[str, Any]:
        """What there is to know of the gallery, as the command `info --json` prints it."""
        pictures, skipped = self.store.count()
        files = self.store.sizes() if isinstance(self.store, Maintained) else {}
        space, projection = self.store.space, self.store.projection
        return {
            "pictures": pictures,
            "skipped": skipped,
            "encoder": space.encoder,
            "fingerprint": space.fingerprint,
            "metric": space.metric,
            "dim": sum(projection.widths) if projection else space.dim,
            "encoder_dim": space.dim,
            "adapted_on": projection.fitted_on if projection else 0,
            "classes": len(projection.classes) if projection else 0,
            "blended": any(projection.blends) if projection else False,
            "adapts_at": adapts_at(projection),
            "generation": self.store.generation,
            "bytes": sum(files.values()),
            "files": files,
        }

    # Looking after it

    def verify(self) -> list[str]:
        """What is wrong with the stored data, a line each; empty when everything checks."""
        return self._maintained().verify()

    def compact(self) -> None:
        """Free the disk space of removed pictures. Raises StoreBusy, DiskFull; nothing is lost then."""
        with self.store.writing():
            self._maintained().compact()

    def export(self, file: str | Path, *, force: bool = False) -> int:
        """Copy the gallery into one file, checked, whoever is writing; how many pictures are in the copy.

        Raises UsageError when there is such a file and not `force`; Corrupt, DiskFull, StoreError.
        """
        learned = [f"{part}/{name}" for part in learned_parts(self.store.space.source) for name in (MODEL, CARD)]
        return self._maintained().backup(Path(file), force=force, beside=learned)

    def write_parquet(self, file: str | Path, *, force: bool = False) -> int:
        """Write a table with a row for each picture: see `lookalike.store.parquet`. Raises MissingExtra, UsageError."""
        parquet = importlib.import_module("lookalike.store.parquet")
        return int(parquet.write_parquet(self.store, Path(file), force=force))

    @staticmethod
    def restore(file: str | Path, folder: str | Path, *, force: bool = False) -> int:
        """Make the gallery in a folder from an exported file; how many pictures are in it.

        The whole file is checked first. Raises UsageError when there is a gallery and not `force`; StoreBusy, Corrupt,
        DiskFull, StoreError.
        """
        backup = importlib.import_module("lookalike.store.sqlite.backup")
        return int(backup.restore(Path(file), Path(folder), force=force))

    @classmethod
    def repair(
        cls,
        location: str | Path | None = None,
        *,
        options: IndexOptions | None = None,
        progress: OnProgress | None = None,
    ) -> tuple[Repair, Report | None]:
        """Save what is sound of a damaged gallery, and index again what is not; nothing if it is all sound.

        The damaged database is put aside. The report says what was read again; None if nothing was wrong. Raises
        StoreBusy, Corrupt when nothing could be saved, and what `open` and `index` raise.
        """
        folder = Path(location) if location is not None else find_gallery()
        done = cast("Repair", importlib.import_module("lookalike.store.sqlite.repair").repair(folder))
        if not done.problems:
            return done, None
        with cls.open(folder) as gallery:
            lost = done.lost
            return done, maintenance.index_lost(
                gallery.store, gallery.encoder, lost, options=options, on_progress=progress
            )

    def _maintained(self) -> Maintained:
        if not isinstance(self.store, Maintained):
            raise UsageError(f"{self.location} keeps no files of its own", hint="copy the gallery into a folder first")
        return self.store


def find_gallery(start: str | Path | None = None) -> Path:
    """The nearest `.lookalike` in `start`, by default the current folder, or in a folder above it.

    Raises NoGallery.
    """
    here = Path(start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    raise NoGallery(f"no gallery in {here} or above it", hint="make one: lookalike index FOLDER")


def _check_encoder(encoder: Encoder, space: Space) -> None:
    """Raise EncoderMismatch unless the embeddings of `space` are this encoder's."""
    if encoder.fingerprint == space.fingerprint:
        return
    if encoder.name == space.encoder:
        message = f"the gallery was made by {space.encoder}, which has changed since"
    else:
        message = f"the gallery was made by {space.encoder}, not by {encoder.name}"
    raise EncoderMismatch(f"{message}: their embeddings cannot be compared", hint=_ANOTHER)


def _own_encoder(encoder: str | Path, store: Store, folder: Path | None) -> Encoder:
    """The encoder of this name; one that was not learned for this gallery cannot be its own. Closes it on errors."""
    try:
        if not learned_parts(encoder) or lasting_name(encoder) == store.space.source:
            return load_encoder(encoder, folder)
    except BaseException:
        store.close()
        raise
    store.close()
    raise EncoderMismatch(f"the gallery was made by {store.space.encoder}, not by {encoder}", hint=_ANOTHER)


def _path(path: bytes) -> Path:
    return Path(os.fsdecode(path))
