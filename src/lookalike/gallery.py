"""A gallery: pictures, an encoder and a store together. The command line, Python and HTTP all enter here."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from lookalike.adaptation.plan import adapts_at
from lookalike.encoders import (
    CARD,
    DEFAULT,
    MODEL,
    lasting_name,
    learned_parts,
    load_encoder,
    on_device,
    recall,
    wanted_device,
)
from lookalike.encoders.composition import layout_columns
from lookalike.encoders.threads import guard
from lookalike.errors import ClosedGallery, EncoderMismatch, NoGallery, StoreError, UsageError, counted
from lookalike.files import check_output, expand_home
from lookalike.indexing import maintenance
from lookalike.indexing.adapt import adapt, adapt_to_labels
from lookalike.indexing.calibrate import calibrate_if_grown
from lookalike.indexing.copying import copy_gallery
from lookalike.indexing.create import create_store
from lookalike.indexing.folders import canonical_path, known_roots
from lookalike.indexing.update import IndexOptions, Report, embed_files
from lookalike.search import concepts, engine
from lookalike.search.pictures import encode_views, query_views
from lookalike.search.query import Query, as_query
from lookalike.search.selection import explain_filters
from lookalike.store import FOLDER, Maintained, Space, find_gallery, is_folder, locate, open_store
from lookalike.store.keys import absolute, is_within

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from lookalike.adaptation.lda import Validation
    from lookalike.encoders import Encoder
    from lookalike.explore.clusters import Clusters
    from lookalike.explore.confusions import Confusions
    from lookalike.explore.duplicates.groups import Duplicates
    from lookalike.explore.duplicates.keep import Plan
    from lookalike.explore.duplicates.trash import Moved
    from lookalike.explore.map import Map
    from lookalike.explore.naming import Namer
    from lookalike.explore.neighbours import Neighbours
    from lookalike.explore.outliers import Outliers
    from lookalike.images.decode import View
    from lookalike.images.pool import OnProgress
    from lookalike.images.walk import Root
    from lookalike.search.concepts import Taught, Word
    from lookalike.search.explain import Inspection
    from lookalike.search.feedback import Feedback
    from lookalike.search.hits import Hits
    from lookalike.search.query import Source
    from lookalike.search.rerank import Order
    from lookalike.store import Near, Record, Store
    from lookalike.store.sqlite.repair import Repair

    PathLike = str | bytes | os.PathLike[str]

__all__ = ["FOLDER", "Gallery", "find_gallery", "protected"]

_USE_ANOTHER = "index into another gallery: lookalike index PHOTOS -e ENCODER -i FOLDER"

_log = logging.getLogger(__name__)


class Gallery:
    """A searchable set of pictures. Open it with `Gallery.open`, and close it or use it in a `with` statement.

    Many threads may search it while one of them, or another process, is indexing. After `close`, every method raises
    ClosedGallery.
    """

    def __init__(
        self, store: Store, encoder: Encoder | None = None, *, folder: Path | None = None, device: str | None = None
    ) -> None:
        """Join an open store and its encoder. folder: where the encoders learned for this gallery are kept.

        device: for an encoder that is loaded later.
        """
        self._store: Store | None = store
        self._name = store.location
        self._encoder = encoder and guard(encoder)
        self._folder = folder
        self._device = device or wanted_device(default="auto")
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
        device: str | None = None,
    ) -> Self:
        """Open the gallery at a location: a folder, or a URL such as `memory:`; by default the nearest `.lookalike`.

        The folder of pictures around a `.lookalike` opens it too, and `~` is the home folder.

        encoder: a name or a model file. It is needed only to create a gallery; for an existing gallery it must be the
        one that made it. create: make a gallery if none exists. learn_from: folders with the pictures from which a new
        gallery's encoder, such as `patches`, is learned; options and on_progress apply to reading them.
        device: where the encoder runs, as for `lookalike.load_encoder`; the gallery does not remember it.
        Raises NoGallery, EncoderMismatch, StoreError, EncoderError; UsageError for a device that is not there.
        """
        with on_device(device):
            where = locate(location if location is not None else find_gallery(), create=create)
            folder = Path(where) if is_folder(where) else None
            try:
                store = open_store(where)
            except NoGallery:
                if not create:
                    raise
            else:
                return cls(store, _own_encoder(encoder, store, folder) if encoder is not None else None, folder=folder)
            name = encoder or DEFAULT
            created, loaded = create_store(where, name, learn_from=learn_from, options=options, on_progress=on_progress)
            return cls(created, loaded, folder=folder)

    def close(self) -> None:
        """Release all files and locks."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def __enter__(self) -> Self:
        _ = self.store  # raises ClosedGallery if the gallery is closed
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._store is None:
            return f"<Gallery {self._name}, closed>"
        return f"<Gallery of {counted(len(self), 'picture')} by {self.store.space.encoder}>"

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
        """The store that holds the gallery's records and embeddings. Raises ClosedGallery."""
        if self._store is None:
            raise ClosedGallery(f"{self._name} is closed", hint="open it again: Gallery.open")
        return self._store

    @property
    def location(self) -> str:
        """The folder or URL that opens this gallery."""
        return self.store.location

    @property
    def encoder(self) -> Encoder:
        """The gallery's encoder, loaded on first use. Raises EncoderMismatch, UnknownEncoder."""
        space = self.store.space
        if self._encoder is None:
            with self._loading:
                if self._encoder is None:
                    encoder = load_encoder(space.source, self._folder, device=self._device)
                    _check_encoder(encoder, space)
                    self._encoder = guard(encoder)
        return self._encoder

    # Indexing

    def index(
        self,
        *paths: PathLike,
        options: IndexOptions | None = None,
        on_progress: OnProgress | None = None,
        wait: float = 0.0,
    ) -> Report:
        """Bring the gallery up to date with these folders and files, and adapt it when it has grown enough.

        The paths and their `options.rules` are remembered. Without paths, everything indexed before is brought up to
        date by the rules it was given. Every batch is on disk before the next begins, so an interrupted run resumes
        where it stopped. Raises StoreBusy when another process keeps writing to this gallery for longer than `wait`
        seconds, and UsageError when none of the paths exists or none is known.
        """
        store, encoder = self.store, self.encoder
        return maintenance.index_paths(store, encoder, paths, options=options, on_progress=on_progress, wait=wait)

    def retry(
        self,
        path: PathLike = "/",
        *,
        options: IndexOptions | None = None,
        on_progress: OnProgress | None = None,
        wait: float = 0.0,
    ) -> Report:
        """Read the skipped files at or below `path` again, even if they have not changed; or the picture at `path`.

        Files that no longer exist are left for `index` to remove. Raises StoreBusy; UsageError when no file was skipped
        there, or the picture has not changed.
        """
        store, encoder = self.store, self.encoder
        return maintenance.retry(store, encoder, path, options=options, on_progress=on_progress, wait=wait)

    def relocate(self, old: PathLike, new: PathLike, *, dry_run: bool = False, wait: float = 0.0) -> int:
        """Keep the embeddings of pictures that were moved from folder `old` to `new`; return the number of files.

        Either all paths are rewritten or none; no file is read. Raises StoreBusy; UsageError when the gallery has no
        picture in `old`, or already has a different one at a new path.
        """
        return maintenance.relocate(self.store, old, new, dry_run=dry_run, wait=wait)

    def remove(self, path: PathLike, *, wait: float = 0.0) -> int:
        """Remove a picture, or all pictures below a folder, from the gallery; return the number of files removed.

        The files themselves stay, and the next `index` of their folder adds them again. A removed folder that was an
        indexed root is no longer updated. Raises UsageError when the gallery knows nothing at this path.
        """
        return maintenance.remove(self.store, path, wait=wait)

    def adapt(self, *, dim: int | None = None, blend: bool | None = None, wait: float = 0.0) -> int:
        """Fit the projection again to all embeddings; return the dimension of the vectors that are compared.

        dim: the most dimensions to keep, or to keep for each part of a hybrid; by default 256 where vectors are blended
        and 64 elsewhere, and 24 more for the whole picture unless they are among the 256. blend: whether to blend
        vectors, as `lookalike.adaptation.plan` explains; None keeps the earlier choice, or at first chooses what suits
        the encoder. Raises UsageError when there are too few different pictures to fit anything.
        """
        with self.store.writing(wait=wait):
            width = adapt(self.store, self.encoder, dim=dim, blend=blend)
            calibrate_if_grown(self.store)
            return width

    def adapt_to_labels(self, labels: Mapping[bytes, str], *, dim: int | None = None, wait: float = 0.0) -> Validation:
        """Adapt to the classes of some or all pictures, given by path, unless retrieval is better without them.

        Returns the choice with the figures behind it. dim: dimensions in addition to those of the classes, by default
        64. Raises UsageError for fewer than two classes with at least five pictures each.
        """
        chosen = adapt_to_labels(self.store, self.encoder, labels, dim=dim, wait=wait)
        with self.store.writing(wait=wait):
            calibrate_if_grown(self.store)
        return chosen

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
        unique: bool = False,
        offset: int = 0,
        diverse: float = 0.0,
        least: bool = False,
    ) -> Hits:
        """The k pictures most similar to `query`: a path, PIL image, uint8 (h, w, 3) or (h, w), or `lookalike.Query`.

        A query picture that is in the gallery, by its path or id, is left out of its own hits unless `include_self` is
        set, and is not encoded again while its file is unchanged.
        where: filters in the syntax of `lookalike.search.filters`; k hits are returned if k pictures pass them.
        weights: the weight of each part of a hybrid encoder, by name, in [0, 1]; parts not named share the rest.
        order: "diffusion" reorders the nearest thousand by how they are reached from the query through similar
        pictures, which finds more pictures of the same kind; distances remain those to the query.
        exact: compare with every picture, even in a gallery so large that searches are normally approximate.
        unique: count copies once: of pictures with the same content, and of those that were only rescaled or compressed
        again, the nearest is a hit; k hits are returned if there are k different pictures.
        offset: leave out that many hits, for the next page; ranks are still counted from the nearest.
        diverse: how much it counts that a hit differs from those before it, from 0 to 1; True is 0.5. Hits are chosen
        among the nearest 200. least: the least similar pictures, farthest first.
        Raises UnreadableImage, EncoderMismatch, StoreError; UsageError for k < 1, and for an unknown filter or order.
        """
        options = engine.Options(where, weights, order, exact, include_self, unique, offset, diverse, least)
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
        unique: bool = False,
        offset: int = 0,
        diverse: float = 0.0,
        least: bool = False,
    ) -> list[Hits]:
        """Run `search` for many queries, which are encoded and looked up together; one `Hits` for each."""
        options = engine.Options(where, weights, order, exact, include_self, unique, offset, diverse, least)
        return engine.search(self.store, lambda: self.encoder, [as_query(query) for query in queries], k, options)

    def select(self, where: Sequence[str] = ()) -> NDArray[np.int64]:
        """The ids of the pictures that pass these filters, in ascending order, int64 (n,). Raises UsageError."""
        return engine.select(self.store, where)

    def feedback(self, query: Query | Source) -> Feedback:
        """A search that learns from marks: `.good(hit)`, `.bad(hit)`, and `.search()` as often as it helps."""
        feedback = importlib.import_module("lookalike.search.feedback")
        return cast("Feedback", feedback.Feedback(self.store, self.search, query))

    def explain_filters(self, where: Sequence[str], *, has_hits: bool = False) -> list[str]:
        """Why these filters select nothing: a sentence for each value that no picture has, with the values there are.

        Empty if each of them selects something, and so do all of them together. has_hits: whether a search with them
        has found something, after which less has to be looked up. Raises UsageError as `search` does.
        """
        return explain_filters(self.store, where, has_hits=has_hits)

    # Words

    def teach(
        self,
        name: str,
        like: Sequence[Query | Source] | Query | Source,
        *,
        unlike: Sequence[Query | Source] | Query | Source = (),
        wait: float = 0.0,
    ) -> Taught:
        """Teach the gallery a name by pictures that show it, in the gallery or not, and by some that do not.

        Afterwards `search(Query.text(name))` finds such pictures and the filter `tag:name` selects them, including
        pictures that are added later. A name that was taught before gets more examples. It hides a word of the encoder
        that differs only in case. Raises UsageError without an example or a name; UnreadableImage,
        StoreBusy.
        """
        some = [_as_list(pictures) for pictures in (like, unlike)]
        return concepts.teach(self.store, lambda: self.encoder, name, like=some[0], unlike=some[1], wait=wait)

    def forget(self, name: str, *, wait: float = 0.0) -> None:
        """Forget a taught name. Raises UnknownWord, naming the nearest taught ones; StoreBusy."""
        concepts.forget(self.store, name, wait=wait)

    def words(self) -> list[Word]:
        """The words that `search(Query.text(word))` finds: the taught ones, then those that the encoder knows.

        A word is a `str` that also says whether it `is_taught`. An encoder that reads texts takes any words, so that
        only the taught ones are listed.
        """
        return concepts.list_words(self.store, lambda: self.encoder)

    def suggest_words(self, text: str) -> list[str]:
        """The words that may have been meant by a text that `search` does not know, the likeliest first; often none."""
        return concepts.suggest_words(self.store, lambda: self.encoder, text)

    def explain_text(self, text: str) -> list[str]:
        """A sentence if a text is a taught name that hides a word of the encoder's; otherwise an empty list."""
        return concepts.explain_text(self.store, lambda: self.encoder, text)

    def search_text(self, text: str, k: int = 10, *, where: Sequence[str] = ()) -> Hits:
        """Deprecated: `search(Query.text(text))`."""
        return self.search(Query.text(text), k, where=where)

    def explain(self, query: Query | Source, hit: Query | Source) -> Inspection:
        """Where two pictures match, found by covering each of them piece by piece. Raises UnreadableImage."""
        explain = importlib.import_module("lookalike.search.explain")
        found = explain.inspect(self.store, lambda: self.encoder, as_query(query), as_query(hit))
        return cast("Inspection", found)

    def neighbours(self, k: int = 10, *, exact: bool = False) -> Iterator[Neighbours]:
        """Every picture of the gallery with the k others most similar to it, ordered by id and computed in chunks.

        Pictures removed in the meantime are left out. Raises StoreError; UsageError for k < 1.
        """
        explore = importlib.import_module("lookalike.explore.neighbours")
        return cast("Iterator[Neighbours]", explore.list_neighbours(self.store, k, exact=exact))

    # Duplicates

    def duplicates(
        self,
        *,
        against: PathLike | Gallery | None = None,
        budget: int = 20_000,
        options: IndexOptions | None = None,
        on_progress: OnProgress | None = None,
    ) -> Duplicates:
        """The pictures that are here more than once, in groups: identical files, the same picture, the same scene.

        Candidates come from what the gallery keeps, and are proved by laying the pictures themselves on each other,
        the likeliest first. budget: the most pairs to prove; obvious ones beyond it are listed as not proven.
        against: a folder of this gallery, or another gallery; only pairs of a picture there and one elsewhere are
        found. options: limits and workers for reading. Nothing is moved. Raises StoreError, UsageError.
        """
        found = importlib.import_module("lookalike.explore.duplicates.find")
        limits = {"limits": options.limits, "workers": options.workers} if options is not None else {}
        other = against.store if isinstance(against, Gallery) else against and canonical_path(against, self.store)
        layout = layout_columns(self.encoder, self.store.space.dim)
        wanted = found.DuplicateOptions(budget=budget, against=other, layout=layout, **limits)
        return cast("Duplicates", found.find_duplicates(self.store, wanted, on_progress=on_progress))

    def plan_moves(self, duplicates: Duplicates, keep: str = "largest") -> Plan:
        """Which copies would be moved away, and which picture of each group is kept, by a rule.

        keep: "largest", "oldest", "path order" or "most metadata". Only copies that are proven against the kept
        picture are moved; a pair that the search has not compared is compared now. Raises UsageError.
        """
        return cast(
            "Plan", importlib.import_module("lookalike.explore.duplicates.actions").plan_moves(duplicates, keep)
        )

    def move_duplicates(self, plan: Plan, trash: str | Path | None = None, *, wait: float = 0.0) -> Moved:
        """Move the copies of a plan into a trash folder and out of the gallery; nothing is deleted.

        trash: by default `.lookalike-trash` beside the gallery. `undo_moves` brings the files back.
        Raises StoreBusy, UsageError.
        """
        actions = importlib.import_module("lookalike.explore.duplicates.actions")
        folder = actions.find_trash(self.location) if trash is None else expand_home(Path(trash))
        return cast("Moved", actions.apply_plan(self.store, plan, folder, wait=wait))

    def undo_moves(self, trash: str | Path | None = None, *, on_progress: OnProgress | None = None) -> Moved:
        """Bring back the files that `move_duplicates` moved into a trash folder, and index them again.

        A file stays in the trash if another file has taken its place; it is then named in the result. Galleries beside
        each other have one trash folder: all of it comes back, and what lies in the folders of this gallery is indexed.
        Raises StoreBusy, UsageError.
        """
        actions = importlib.import_module("lookalike.explore.duplicates.actions")
        folder = actions.find_trash(self.location) if trash is None else expand_home(Path(trash))
        done = cast("Moved", importlib.import_module("lookalike.explore.duplicates.trash").undo_moves(folder))
        back = [new for _, new in done.done if any(is_within(os.fsencode(new), root.path) for root in self.roots)]
        if back:
            self.index(*back, on_progress=on_progress)
        return done

    def mark_distinct(self, one: PathLike, other: PathLike, *, wait: float = 0.0) -> None:
        """Remember that two pictures are not duplicates of each other. Raises StoreBusy, UsageError."""
        importlib.import_module("lookalike.explore.duplicates.actions").mark_distinct(self.store, one, other, wait=wait)

    # The whole collection

    def map(
        self,
        *,
        where: Sequence[str] = (),
        groups: int | None = None,
        seed: int = 0,
        fine: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Map:
        """Every picture as a point in two dimensions, near those that are like it, with the name of its group.

        where: filters, as for `search`. groups: how many groups; None lets the pictures decide. fine: by t-SNE,
        which keeps more neighbours together and takes much longer. The same gallery and seed give the same map. Raises
        StoreError, UsageError; MissingExtra for `fine` without openTSNE.
        """
        made = importlib.import_module("lookalike.explore.map").make_map
        options = {"where": where, "groups": groups, "seed": seed, "fine": fine, "namers": self._namers()}
        return cast("Map", made(self.store, **options, on_progress=on_progress))

    def clusters(self, count: int | None = None, *, where: Sequence[str] = (), seed: int = 0) -> Clusters:
        """Groups of pictures that are alike, the largest first, each with a name and its most typical pictures first.

        count: how many groups; None lets the pictures decide. Raises StoreError, UsageError.
        """
        found = importlib.import_module("lookalike.explore.clusters").find_clusters
        return cast("Clusters", found(self.store, count, where=where, seed=seed, namers=self._namers()))

    def outliers(self, k: int = 20, *, where: Sequence[str] = ()) -> Outliers:
        """The k pictures that are least like the others, the farthest first. Raises StoreError, UsageError."""
        return cast(
            "Outliers", importlib.import_module("lookalike.explore.outliers").find_outliers(self.store, k, where=where)
        )

    def confusions(
        self, labels: Mapping[PathLike, str] | PathLike | None = None, *, where: Sequence[str] = ()
    ) -> Confusions:
        """The classes that are mixed up among nearest neighbours, and the labels that are probably wrong.

        labels: the class of each picture by its path, a folder with one folder for each class, or a CSV file with the
        columns file and class; None for the folder that directly contains each picture. Raises UsageError for fewer
        than two classes; DatasetError, StoreError.
        """
        explore = importlib.import_module("lookalike.explore.confusions")
        return cast("Confusions", explore.find_confusions(self.store, _read_labels(labels, self.store), where=where))

    @property
    def views(self) -> list[View]:
        """The query views: the encoder's own crop, and the whole picture if that crop leaves something out."""
        return query_views(self.encoder)

    def encode_views(self, images: Sequence[Image.Image]) -> list[NDArray[np.float32]]:
        """The embeddings of each picture's query views, float32 (views, dim), as a search uses them."""
        return encode_views(self.encoder, images, self.store.space.dim)

    def nearest(
        self, queries: Sequence[NDArray[np.float32]], k: int, *, order: Order = "distance", exact: bool = False
    ) -> list[Near]:
        """The ids and distances of the k pictures nearest to each query, given as the result of `encode_views`."""
        return engine.nearest(self.store, queries, k, order=order, exact=exact)

    def embed_files(
        self, paths: Iterable[bytes], *, view: View | None = None, options: IndexOptions | None = None
    ) -> Iterator[tuple[bytes, NDArray[np.float32] | str]]:
        """Yield every path with its embedding, float32 (dim,), or with the reason why it has none, in the given order.

        Files are decoded and encoded in batches, just as `index` does it, but nothing is stored. view: one of `views`.
        """
        return embed_files(self.encoder, self.store.space.dim, paths, view=view, options=options)

    # Contents

    def pictures(self) -> Iterator[Record]:
        """The record of every picture in the gallery, ordered by path."""
        return (record for record in self.store.scan() if record.digest is not None)

    def skipped(self) -> list[tuple[Path, str]]:
        """The files that were found but could not be indexed, each with the reason, ordered by path."""
        return maintenance.skipped(self.store)

    @property
    def roots(self) -> list[Root]:
        """The indexed folders and files with their rules: what `index` without a path updates."""
        return known_roots(self.store)

    def knows(self, path: bytes) -> bool:
        """Whether the gallery knows a file at or below this absolute path, either as a picture or as skipped."""
        return any(maintenance.below(self.store, canonical_path(path, self.store)))

    def protects(self, path: PathLike) -> bool:
        """Whether a drawing or document at this path would replace a picture of this gallery, or of the nearest one.

        The gallery's own files are protected too. Links, hard links and other spellings of a path make no difference.
        """
        return _holds(self.store, self._folder, absolute(path)) or protected(path)

    def info(self) -> dict[str, Any]:
        """Facts about the gallery, as the command `info --json` prints them."""
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

    # Maintenance

    def verify(self) -> list[str]:
        """The problems found in the stored data, one line each; empty when everything is sound."""
        return self._maintained().verify()

    def compact(self, *, wait: float = 0.0) -> None:
        """Free the disk space of removed pictures. Raises StoreBusy, DiskFull; no data is lost in either case."""
        with self.store.writing(wait=wait):
            self._maintained().compact()

    def export(self, file: str | Path, *, force: bool = False) -> int:
        """Copy the gallery into one checked file, even while it is being written; return the number of pictures.

        Raises UsageError when the file exists and `force` is not set; Corrupt, DiskFull, StoreError.
        """
        learned = [f"{part}/{name}" for part in learned_parts(self.store.space.source) for name in (MODEL, CARD)]
        maintained = self._maintained()
        target = check_output(expand_home(Path(file)), force=force, protects=self.protects, mark=None)
        return maintained.backup(target, force=force, beside=learned)

    def write_parquet(self, file: str | Path, *, force: bool = False) -> int:
        """Write a Parquet table with one row per picture and return the number of rows; see `lookalike.store.parquet`.

        Raises MissingExtra, UsageError.
        """
        parquet = importlib.import_module("lookalike.store.parquet")
        return int(parquet.write_parquet(self.store, expand_home(Path(file)), force=force, protects=self.protects))

    def copy_to(
        self,
        target: str | Path,
        *,
        force: bool = False,
        wait: float = 0.0,
        on_progress: OnProgress | None = None,
    ) -> int:
        """Copy the gallery to another location, a folder or a URL, and check the copy; return the number of pictures.

        A copy that was interrupted continues. force: remove what only the target holds. Raises EncoderMismatch,
        StoreBusy, StoreError; UsageError for a target that holds other pictures, and where an encoder that was learned
        from this gallery's pictures cannot go along.
        """
        return copy_gallery(self.store, target, force=force, wait=wait, on_progress=on_progress)[0]

    @staticmethod
    def restore(file: str | Path, folder: str | Path, *, force: bool = False) -> int:
        """Make a gallery in `folder` from an exported file; return the number of pictures in it.

        The whole file is checked first. Raises UsageError when the folder holds a gallery and `force` is not set;
        StoreBusy, Corrupt, DiskFull, StoreError.
        """
        backup = importlib.import_module("lookalike.store.sqlite.backup")
        return int(backup.restore(expand_home(Path(file)), Path(locate(folder)), force=force))

    @classmethod
    def repair(
        cls,
        location: str | Path | None = None,
        *,
        options: IndexOptions | None = None,
        on_progress: OnProgress | None = None,
    ) -> tuple[Repair, Report | None]:
        """Save the sound parts of a damaged gallery and index the rest again; a sound gallery is left unchanged.

        The damaged database is kept under another name. The report says what was read again; it is None if nothing was
        wrong. Raises StoreBusy, Corrupt when nothing could be saved, and whatever `open` and `index` raise.
        """
        if location is not None and not is_folder(location):
            raise UsageError(
                f"{locate(location)} is not a folder, and only files can be repaired here",
                hint="restore the server's backup, or index the pictures into a gallery of another name",
            )
        folder = Path(locate(location)) if location is not None else find_gallery()
        done = cast("Repair", importlib.import_module("lookalike.store.sqlite.repair").repair(folder))
        if not done.problems:
            return done, None
        with cls.open(folder) as gallery:
            lost = done.lost
            return done, maintenance.index_lost(
                gallery.store, gallery.encoder, lost, options=options, on_progress=on_progress
            )

    def _namers(self) -> list[Namer]:
        return [importlib.import_module("lookalike.explore.naming").name_by_words(self.store, lambda: self.encoder)]

    def _maintained(self) -> Maintained:
        if not isinstance(self.store, Maintained):
            raise UsageError(f"{self.location} keeps no files of its own", hint="copy the gallery into a folder first")
        return self.store


def protected(path: PathLike) -> bool:
    """Whether the nearest gallery, or that of LOOKALIKE_INDEX, has a picture or a file of its own at this path."""
    place = absolute(path)
    return any(_is_held_by(location, place) for location in _galleries_near(place))


def _galleries_near(path: bytes) -> Iterator[str | Path]:
    if location := os.environ.get("LOOKALIKE_INDEX"):
        yield location
    with contextlib.suppress(NoGallery):
        yield find_gallery(os.fsdecode(os.path.dirname(path)))


def _is_held_by(location: str | Path, path: bytes) -> bool:
    try:
        with Gallery.open(location) as gallery:
            return _holds(gallery.store, Path(location) if is_folder(location) else None, path)
    except (UsageError, StoreError):  # no gallery there, or one that cannot be read now
        return False


def _holds(store: Store, folder: Path | None, path: bytes) -> bool:
    """Whether a gallery has a picture, or one of its own files, at this path, under whatever name."""
    place = Path(os.fsdecode(os.path.realpath(path)))
    if folder is not None and place.is_file() and place.is_relative_to(folder.resolve()):
        return True
    return maintenance.knows_file(store, path)


def _check_encoder(encoder: Encoder, space: Space) -> None:
    """Raise EncoderMismatch unless the embeddings of `space` are this encoder's."""
    if encoder.fingerprint == space.fingerprint:
        return
    if encoder.name == space.encoder:
        message = f"the gallery was made by {space.encoder}, which has changed since"
    else:
        message = f"the gallery was made by {space.encoder}, not by {encoder.name}"
    raise EncoderMismatch(f"{message}: their embeddings cannot be compared", hint=_USE_ANOTHER)


def _own_encoder(encoder: str | Path, store: Store, folder: Path | None) -> Encoder:
    """Load the encoder of this name; one learned for another gallery cannot be this gallery's. Closes it on errors."""
    try:
        encoder = recall(encoder, store.space.source)
        if not learned_parts(encoder) or lasting_name(encoder) == store.space.source:
            return load_encoder(encoder, folder)
    except BaseException:
        store.close()
        raise
    store.close()
    raise EncoderMismatch(f"the gallery was made by {store.space.encoder}, not by {encoder}", hint=_USE_ANOTHER)


def _as_list(pictures: Sequence[Query | Source] | Query | Source) -> Sequence[Query | Source]:
    """Several pictures as a list; one alone need not be in one."""
    return pictures if isinstance(pictures, list | tuple) else [cast("Query | Source", pictures)]


def _read_labels(labels: Mapping[PathLike, str] | PathLike | None, store: Store) -> dict[bytes, str] | None:
    """The class of each picture by the path under which the gallery knows it."""
    if labels is None:
        return None
    if isinstance(labels, str | bytes | os.PathLike):
        read = importlib.import_module("lookalike.datasets.labels").read_labels
        labels = cast("Mapping[PathLike, str]", read(expand_home(Path(os.fsdecode(labels))), with_test=True))
    return {canonical_path(path, store): label for path, label in labels.items()}


def _path(path: bytes) -> Path:
    return Path(os.fsdecode(path))
