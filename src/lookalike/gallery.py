"""A gallery: pictures, an encoder and a store together. The one way in for the command line, Python and HTTP."""

from __future__ import annotations

import importlib
import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast, get_args

import numpy as np

from lookalike.adaptation.plan import adapts_at
from lookalike.encoders import CARD, DEFAULT, MODEL, lasting_name, learned_parts, load_encoder
from lookalike.encoders.hybrid import balance, parts_of
from lookalike.errors import (
    Corrupt,
    EncoderMismatch,
    NoGallery,
    UsageError,
)
from lookalike.explore.neighbours import neighbours
from lookalike.images.decode import Picture, View, show_path
from lookalike.images.pool import Reader
from lookalike.indexing import maintenance
from lookalike.indexing.adapt import adapt, adapt_to_labels
from lookalike.indexing.encode import encode_pictures
from lookalike.indexing.folders import canonical_path, known_roots
from lookalike.indexing.opening import FOLDER, check_encoder, find_gallery, own_encoder
from lookalike.indexing.update import IndexOptions, Report
from lookalike.search.filters import parse_filters
from lookalike.search.hits import Hit, Hits, closest
from lookalike.search.query import draw_query, looks_at, read_query, views_of
from lookalike.search.rerank import CANDIDATES, Order, by_diffusion
from lookalike.search.text import nearest_to_text
from lookalike.store import Maintained, SearchSpace, Space, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from lookalike.adaptation.lda import Validation
    from lookalike.encoders import Encoder
    from lookalike.images.walk import Root
    from lookalike.indexing.update import Progress
    from lookalike.search.explain import Inspection
    from lookalike.search.query import Query
    from lookalike.store import Near, Record, Store
    from lookalike.store.filter import Filter
    from lookalike.store.sqlite.repair import Repair

__all__ = ["FOLDER", "Gallery", "find_gallery"]

_JOINED = 256  # pictures whose neighbours are looked up at once


class Gallery:
    """A set of pictures that can be searched. Open it with `Gallery.open`; close it, or use it in a `with`."""

    def __init__(self, store: Store, encoder: Encoder | None = None, *, home: Path | None = None) -> None:
        """home: the gallery's folder, where the encoders lie that were learned for it.

        `exact`, at first False: whether a search compares with every picture, however many.
        """
        self.store = store
        self._encoder = encoder
        self._home = home
        self.exact = False
        if encoder is not None:
            try:
                check_encoder(encoder, self.store.space)
            except EncoderMismatch:
                store.close()
                raise

    @classmethod
    def open(cls, place: str | Path | None = None, *, encoder: str | Path | None = None, create: bool = False) -> Self:
        """Open the gallery in the folder `place`; without one, the `.lookalike` found upward from here.

        encoder: a name or a model file; only needed to create a gallery, otherwise it must be the gallery's own.
        One that is learned from pictures is learned first, by `lookalike.indexing.learned.learn`.
        create: make a new one if there is none.
        Raises NoGallery, EncoderMismatch, StoreError, EncoderError.
        """
        folder = Path(place) if place is not None else find_gallery()
        try:
            store = open_store(folder)
        except NoGallery:
            if not create:
                raise
        else:
            return cls(store, own_encoder(encoder, store, folder) if encoder is not None else None, home=folder)
        loaded = load_encoder(encoder or DEFAULT, folder)
        source = lasting_name(encoder or DEFAULT)
        space = Space(loaded.name, loaded.fingerprint, loaded.dim, loaded.metric, source)
        return cls(open_store(folder, create=space), loaded, home=folder)

    @property
    def place(self) -> Path:
        """The folder that the gallery is in."""
        return Path(self.store.location)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.store.count()[0]

    def __repr__(self) -> str:
        return f"<Gallery of {len(self):,} pictures by {self.store.space.encoder}>"

    @property
    def encoder(self) -> Encoder:
        """The gallery's encoder, loaded when it is first needed. Raises EncoderMismatch, UnknownEncoder."""
        if self._encoder is None:
            encoder = load_encoder(self.store.space.source, self._home)
            check_encoder(encoder, self.store.space)
            self._encoder = encoder
        return self._encoder

    def index(
        self,
        *paths: str | bytes | os.PathLike[str],
        options: IndexOptions | None = None,
        progress: Progress | None = None,
        wait: float = 0.0,
    ) -> Report:
        """Bring the gallery up to date with these folders and files, and adapt it when it has grown enough.

        They and their `options.rules` are remembered: without any path, all that were indexed before are brought up
        to date by the rules of then. Every batch is on disk before the next is begun: interrupted, it goes on where
        it was. Raises StoreBusy when another process is indexing this gallery for longer than `wait` seconds,
        UsageError when none of the paths exists or none is known.
        """
        return maintenance.index_paths(
            self.store, self.encoder, paths, options=options, on_progress=progress, wait=wait
        )

    def retry(
        self,
        path: str | bytes | os.PathLike[str] = "/",
        *,
        options: IndexOptions | None = None,
        progress: Progress | None = None,
        wait: float = 0.0,
    ) -> Report:
        """Read the skipped files that are `path` or below it again, although they have not changed.

        Those that are gone are left to `index`. Raises StoreBusy; UsageError when nothing was skipped there.
        """
        return maintenance.retry(self.store, self.encoder, path, options=options, on_progress=progress, wait=wait)

    def relocate(
        self, old: str | bytes | os.PathLike[str], new: str | bytes | os.PathLike[str], *, dry_run: bool = False
    ) -> int:
        """Let pictures that were moved from the folder `old` to `new` keep their embeddings; how many files they are.

        Paths are rewritten, all or none; no file is looked at. Raises StoreBusy; UsageError when none is known in
        `old`, or one in its new place as well.
        """
        return maintenance.relocate(self.store, old, new, dry_run=dry_run)

    def search(  # noqa: PLR0913  (by name, all but two)
        self,
        query: Query,
        k: int = 10,
        *,
        include_self: bool = False,
        where: Sequence[str] = (),
        weights: Mapping[str, float] | None = None,
        order: Order = "distance",
    ) -> Hits:
        """The k pictures most like `query`: a path, a PIL image, or uint8 (h, w, 3) or (h, w).

        A query that is in the gallery by its path is not among its own hits unless `include_self`.
        where: filters, as `lookalike.search.filters` has them; k come back where k pictures pass.
        weights: of a hybrid's parts, by name, in [0, 1]; those that are not named share the rest.
        order: "diffusion" puts the nearest thousand in the order in which they are reached from the query through
        pictures that are alike, which finds more of a kind; distances stay those to the query.
        In a gallery so large that searches are approximate, `gallery.exact = True` compares with every picture.
        Raises UnreadableImage, EncoderMismatch, StoreError; UsageError for k < 1, and for what is no filter or order.
        """
        return self.search_many([query], k, include_self=include_self, where=where, weights=weights, order=order)[0]

    def search_many(  # noqa: PLR0913  (by name, all but two)
        self,
        queries: Iterable[Query],
        k: int = 10,
        *,
        include_self: bool = False,
        where: Sequence[str] = (),
        weights: Mapping[str, float] | None = None,
        order: Order = "distance",
    ) -> list[Hits]:
        """`search` for each of many queries, which are encoded and looked for together."""
        if k < 1:
            raise UsageError(f"k is {k}; at least 1 hit can be asked for")
        read = [read_query(query, self.encoder.view) for query in queries]
        if not read:
            return []
        looks = self.looks_at([image for image, _ in read])
        with self.store.reading():
            found = self.nearest(looks, k + 1, where=parse_filters(where), weights=weights, order=order)
            items = self.store.get({id_ for near in found for id_, _ in near})
        return [
            self._hits(near, items, k, query, None if include_self else query[1])
            for near, query in zip(found, read, strict=True)
        ]

    def search_text(self, text: str, k: int = 10, *, where: Sequence[str] = ()) -> Hits:
        """The k pictures that `text` describes best; distances are 1 - cosine, which for texts are large.

        Needs an encoder with a text tower, and the extra `text`. Compared with the encoder's own numbers, not adapted
        ones, and always with every picture. where: filters, as in `search`. Raises NoTextTower, MissingExtra,
        EncoderError, StoreError; UsageError for k < 1, an empty text, and what is no filter.
        """
        if k < 1:
            raise UsageError(f"k is {k}; at least 1 hit can be asked for")
        with self.store.reading():
            near = nearest_to_text(self.store, self.encoder, text, k, where=parse_filters(where))
            items = self.store.get({id_ for id_, _ in near})
        return self._hits(near, items, k, (draw_query(text), None), None)

    def neighbours(self, k: int = 10) -> Iterator[tuple[Path, list[Hit]]]:
        """Every picture of the gallery with the k others most like it, some at a time, in no order.

        What is removed meanwhile is left out. Raises StoreError; UsageError for k < 1.
        """
        if k < 1:
            raise UsageError(f"k is {k}; at least 1 neighbour can be asked for")
        joined = neighbours(self.store, k, exact=self.exact)
        while some := dict(islice(joined, _JOINED)):
            items = self.store.get({*some, *(id_ for near in some.values() for id_, _ in near)})
            for id_ in some.keys() & items.keys():
                yield _path(items[id_]), _ranked([pair for pair in some[id_] if pair[0] in items], items)

    @property
    def views(self) -> list[View]:
        """How a query is looked at: as the encoder does, and whole if that leaves something out."""
        return views_of(self.encoder)

    def looks(self, image: Image.Image) -> NDArray[np.float32]:
        """float32 (views, dim): the embeddings of one picture that it is searched by."""
        return self.looks_at([image])[0]

    def looks_at(self, images: Sequence[Image.Image]) -> list[NDArray[np.float32]]:
        """The `looks` of each of some pictures, encoded together: twice as fast on two cores."""
        return looks_at(self.encoder, images)

    def nearest(
        self,
        queries: Sequence[NDArray[np.float32]],
        k: int,
        *,
        where: Filter | None = None,
        weights: Mapping[str, float] | None = None,
        order: Order = "distance",
    ) -> list[Near]:
        """The k pictures nearest to each query, given as its `looks`: as near as they are to the nearest look.

        where: which may be found, all by default; weights and order as in `search`.
        """
        if order not in get_args(Order):
            raise UsageError(f"no order {order!r}", hint=f"one of {', '.join(get_args(Order))}")
        if order == "diffusion":
            space = self._search_space(weights)
            with self.store.reading():
                found = self.nearest(queries, max(k, CANDIDATES), where=where, weights=weights)
                return [by_diffusion(self.store, near, space=space)[:k] for near in found]
        space = self._search_space(weights)
        each = iter(self.store.search(np.concatenate(queries), k, space=space, where=where, exact=self.exact))
        return [closest(list(islice(each, len(looks))), k) for looks in queries]

    def read(self, query: Query) -> Image.Image:
        """A query as a picture, as `search` takes it. Raises UnreadableImage."""
        return read_query(query, self.encoder.view)[0]

    def embed_files(
        self, paths: Iterable[bytes], *, view: View | None = None, options: IndexOptions | None = None
    ) -> Iterator[tuple[bytes, NDArray[np.float32] | str]]:
        """Yield every path with its embedding, float32 (dim,), or with the reason why it has none, in order.

        Files are decoded and encoded as `index` does it, many at a time; nothing is kept. view: one of `views`.
        """
        options = options or IndexOptions()
        with Reader(view or self.encoder.view, limits=options.limits, workers=options.workers) as reader:
            results = reader.read(paths)
            while some := list(islice(results, options.batch_size)):
                pictures = [result for _, result in some if isinstance(result, Picture)]
                rows = iter(encode_pictures(self.encoder, pictures))
                yield from ((path, next(rows) if isinstance(r, Picture) else r) for path, r in some)

    def remove(self, path: str | bytes | os.PathLike[str], *, wait: float = 0.0) -> int:
        """Take a picture, or all pictures below a folder, out of the gallery; how many there were.

        The files stay, and the next `index` of their folder brings them back. A folder that was indexed itself is no
        longer looked after. Raises UsageError if there is none.
        """
        return maintenance.remove(self.store, path, wait=wait)

    def skipped(self) -> list[tuple[bytes, str]]:
        """Every file that is not part of the gallery though it was met, with the reason, by path."""
        return maintenance.list_skipped(self.store)

    def pictures(self) -> Iterator[Record]:
        """Every picture of the gallery as the store knows it, by path."""
        return (record for record in self.store.scan() if record.digest is not None)

    @property
    def roots(self) -> list[Root]:
        """The folders and files that were indexed, with their rules: what `index` without a path looks at."""
        return known_roots(self.store)

    def knows(self, path: bytes) -> bool:
        """Whether the file at this absolute path, or one below it, was met: as a picture or skipped."""
        return any(maintenance.records_below(self.store, canonical_path(path, self.store)))

    def verify(self) -> list[str]:
        """What is wrong with the stored data, a line each; empty when all is well."""
        return self.store.verify() if isinstance(self.store, Maintained) else []

    @classmethod
    def repair(
        cls, place: str | Path | None = None, *, options: IndexOptions | None = None, progress: Progress | None = None
    ) -> tuple[Repair, Report | None]:
        """Save what is sound of a damaged gallery, and index again what is not; nothing if it is all sound.

        The damaged database is put aside. What the report has is what was read again; none if nothing was wrong.
        Raises StoreBusy, Corrupt when nothing could be saved, and what `open` and `index` raise.
        """
        folder = Path(place) if place is not None else find_gallery()
        repair = importlib.import_module("lookalike.store.sqlite.repair")
        done: Repair = repair.repair(folder)
        if not done.problems:
            return done, None
        with cls.open(folder) as gallery:
            store, encoder = gallery.store, gallery.encoder
            return done, maintenance.index_lost(store, encoder, done.lost, options=options, on_progress=progress)

    def export(self, file: str | Path, *, force: bool = False) -> int:
        """Copy the gallery into one file, checked, whoever is writing; how many pictures are in the copy.

        Raises UsageError when there is such a file and not `force`; Corrupt, DiskFull, StoreError.
        """
        if not isinstance(self.store, Maintained):
            raise UsageError(f"{self.store.location} cannot be exported")
        learned = [f"{part}/{name}" for part in learned_parts(self.store.space.source) for name in (MODEL, CARD)]
        return self.store.backup(Path(file), force=force, beside=learned)

    @staticmethod
    def restore(file: str | Path, place: str | Path, *, force: bool = False) -> int:
        """Make the gallery in the folder `place` from an exported file; how many pictures are in it.

        The whole file is checked first. Raises UsageError when there is a gallery and not `force`; StoreBusy, Corrupt,
        DiskFull, StoreError.
        """
        backup = importlib.import_module("lookalike.store.sqlite.backup")
        return int(backup.restore(Path(file), Path(place), force=force))

    def write_parquet(self, file: str | Path, *, force: bool = False) -> int:
        """Write a table with a row for each picture: see `lookalike.store.parquet`. Raises MissingExtra, UsageError."""
        parquet = importlib.import_module("lookalike.store.parquet")
        return int(parquet.write_parquet(self.store, Path(file), force=force))

    def compact(self) -> None:
        """Give back the room that removed pictures took. Raises StoreBusy, DiskFull; nothing is lost then."""
        if isinstance(self.store, Maintained):
            with self.store.writing():
                self.store.compact()

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

    def explain(self, query: Query, hit: Query) -> Inspection:
        """Where two pictures match, found by covering either piece by piece. Raises UnreadableImage."""
        explain = importlib.import_module("lookalike.search.explain")
        return cast("Inspection", explain.inspect(self.store, self.encoder, query, hit))

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

    def close(self) -> None:
        """Give back files and locks."""
        self.store.close()

    def _hits(
        self, near: Near, items: dict[int, Record], k: int, query: tuple[Image.Image, bytes | None], own: bytes | None
    ) -> Hits:
        image, path = query
        if any(id_ not in items for id_, _ in near):
            raise Corrupt("pictures that were found are not listed in the gallery", hint="lookalike verify")
        others = [pair for pair in near if items[pair[0]].path != own]
        return Hits(_ranked(others[:k], items), image, show_path(os.path.basename(path)) if path else "query")

    def _search_space(self, weights: Mapping[str, float] | None) -> SearchSpace:
        """The adapted vectors, their dimensions weighted so that the parts of a hybrid count as much as they are to."""
        if not weights:
            return SearchSpace()
        parts, projection = parts_of(self.encoder), self.store.projection
        if projection is not None and projection.classes:
            raise UsageError("a gallery that is adapted to labels has no weights", hint="lookalike adapt")
        widths = projection.widths if projection is not None else [part.dim for part in parts]
        return SearchSpace(weights=tuple(np.repeat(np.array(balance(parts, weights), np.float32), widths).tolist()))


def _ranked(near: Near, items: Mapping[int, Record]) -> list[Hit]:
    return [Hit(rank, _path(items[id_]), distance, id_) for rank, (id_, distance) in enumerate(near, 1)]


def _path(record: Record) -> Path:
    return Path(os.fsdecode(record.path))
