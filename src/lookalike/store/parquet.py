"""Write a gallery's pictures as a table for other programs: paths, facts about the files, and embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lookalike.errors import MissingExtra, how_to_install
from lookalike.files import check_output, replace_file
from lookalike.store.sqlite.errors import named_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lookalike.files import Protects
    from lookalike.store import Store

__all__ = ["write_parquet"]

_FIELDS = ("path", "size", "mtime_ns", "width", "height", "format", "camera", "digest")


def write_parquet(store: Store, target: Path, *, force: bool = False, protects: Protects | None = None) -> int:
    """Write one row per picture, ordered by id, as of one moment; return the number of rows.

    Columns: `path` (bytes), `id`, `size` (in bytes), `mtime_ns`, `width`, `height`, `format`, `taken_at` (ISO 8601, by
    the camera's clock), `camera`, `digest` (SHA-256 of the file) and `embedding` (float32, as the gallery keeps the
    encoder's output). The file's metadata holds the encoder's name and fingerprint. Raises UsageError when `target`
    exists and `force` is not set, and for a path that `protects` names; MissingExtra, StoreError.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  (heavy, and an extra)
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("Parquet needs pyarrow", hint=how_to_install("lookalike[parquet]")) from error
    target = check_output(target, force=force, protects=protects, mark=None)
    rows = 0
    with (
        named_errors(target),
        store.reading(),
        replace_file(target) as part,
        parquet.ParquetWriter(part, _schema(pa, store)) as writer,
    ):
        for columns in _chunks(store):
            rows += len(columns["id"])
            columns["embedding"] = _embeddings(pa, columns["embedding"])
            writer.write_table(pa.table(columns, schema=writer.schema))
    return rows


def _schema(pa: Any, store: Store) -> Any:  # noqa: ANN401  (pyarrow has no types)
    numbers = {name: pa.int64() for name in ("id", "size", "mtime_ns", "width", "height")}
    texts = {name: pa.string() for name in ("format", "taken_at", "camera")}
    columns = {"path": pa.binary(), **numbers, **texts, "digest": pa.binary()}
    about = {"lookalike.encoder": store.space.encoder, "lookalike.fingerprint": store.space.fingerprint}
    embedding = pa.list_(pa.float32(), store.space.dim)
    return pa.schema([*columns.items(), ("embedding", embedding)], metadata=about)


def _embeddings(pa: Any, embeddings: Any) -> Any:  # noqa: ANN401
    return pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1])


def _chunks(store: Store) -> Iterator[dict[str, Any]]:
    """The columns of the table, in chunks of rows."""
    for ids, embeddings in store.embeddings():
        known = store.get(ids.tolist())
        records = [known[id_] for id_ in ids.tolist()]
        yield {
            "id": ids,
            **{name: [getattr(record, name) for record in records] for name in _FIELDS},
            "taken_at": [record.taken_at.isoformat() if record.taken_at else None for record in records],
            "embedding": embeddings,
        }
