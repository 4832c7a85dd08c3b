"""Every error the library raises on purpose.

    LookalikeError                 message: what, which file, which limit; hint: the command that mends it
    ├── UsageError                 the caller asked for something that cannot be (exit status 2)
    │   ├── NoGallery              there is no gallery at this place
    │   ├── UnknownEncoder         no encoder of this name, no model at this path
    │   ├── EncoderMismatch        the gallery was made by another encoder
    │   ├── NoTextEncoder          the encoder takes pictures only, no texts
    │   ├── UnreadableImage        a query that is no readable picture
    │   └── MissingExtra           an optional dependency is not installed
    ├── EncoderError               a model file that cannot be used
    │   └── UntrustedModel         a model file that asks for more than arithmetic
    ├── FetchFailed            a model that a hub was asked for and did not give
    ├── DatasetError               a labelled folder, split or download that is not what it claims to be
    ├── TrainingError              a training that cannot go on
    └── StoreError                 the gallery's database cannot be used
        ├── NewerFormat            written by a newer version of Lookalike
        ├── Corrupt                a row does not match its checksum
        ├── DiskFull               no space left; what was committed is safe
        ├── ClosedGallery          it was closed, or carried over a fork
        └── StoreBusy              another process is writing (exit status 75, EX_TEMPFAIL: try again later)

One bad file in a collection is not an error but data: see `lookalike.gallery.Report.skipped`.
"""

from __future__ import annotations


class LookalikeError(Exception):
    """The root of the tree.

    hint: a remedy in one line, or empty; exit_code: what the command line exits with.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(LookalikeError):
    """The caller asked for something that cannot be."""

    exit_code = 2


class NoGallery(UsageError):
    """There is no gallery at this place."""


class UnknownEncoder(UsageError):
    """No encoder of this name, no model at this path."""


class EncoderMismatch(UsageError):
    """The gallery was made by another encoder; its embeddings cannot be compared with this one's."""


class NoTextEncoder(UsageError):
    """The encoder takes pictures only, no texts."""


class UnreadableImage(UsageError):
    """A query that is no readable picture."""


class MissingExtra(UsageError):
    """An optional dependency is not installed."""


class EncoderError(LookalikeError):
    """A model file that cannot be used."""


class UntrustedModel(EncoderError):
    """A model file that asks for more than arithmetic: external files, loops, custom operators."""


class FetchFailed(LookalikeError):
    """A model that a hub was asked for and did not give: no network, no such model, or not what was announced."""


class DatasetError(LookalikeError):
    """A labelled folder, split or download that is not what it claims to be."""


class TrainingError(LookalikeError):
    """A training that cannot go on."""


class StoreError(LookalikeError):
    """The gallery's database cannot be used."""


class NewerFormat(StoreError):
    """The gallery was written by a newer version of Lookalike; nothing of it is read."""


class Corrupt(StoreError):
    """A row does not match its checksum."""


class DiskFull(StoreError):
    """No space left; what was committed before is safe."""


class ClosedGallery(StoreError):
    """The gallery was closed, or is used in a forked process that has to open it again."""


class StoreBusy(StoreError):
    """Another process is writing this gallery."""

    exit_code = 75
