"""An embedder on a Ray cluster (the extra `ray`): actors read and encode files; paths are sent to them, not pixels.

This process keeps the account: a file is done when its result has been given to the update loop, and a batch whose
actor or node has died is sent to another one. What was saved is never sent again, because the loop compares every file
with the store first.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from lookalike.encoders.devices import limit_threads
from lookalike.encoders.threads import guard
from lookalike.errors import EncoderMismatch, MissingExtra, Unreachable, how_to_install
from lookalike.images.decode import DecodedPicture, Limits
from lookalike.images.description import describe
from lookalike.images.origins import may_exist
from lookalike.images.pool import DecoderPool
from lookalike.images.unreadable import VANISHED
from lookalike.indexing.encode import BATCH, Embedded, encode_pictures, to_embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.images.walk import Entry
    from lookalike.indexing.encode import Known

    Load = Callable[[], Encoder]
    Rows = dict[bytes, NDArray[np.float32]]
    """Embeddings, float32 (dim,), by the digest of the picture."""
    Outcomes = list[Embedded | str]

__all__ = ["RayEmbedder"]

_AHEAD = 3  # batches that each actor holds: it reads the next ones while it encodes one
_DEATHS = 5  # actors that a batch may cost: what a file does to its decoder does not end an actor
_PATIENCE = 120.0  # seconds to wait for an actor when there is none
_GRACE = 60.0  # seconds that a batch may take beside the limits of its files
_ORDERED = 5.0  # seconds between two looks at what the cluster has, for nodes that join or come back
_SECONDS = 5.0  # to connect
_BEAT = 0.5  # seconds between two looks at actors that are to come
_MANY = 1 << 20  # actors: as many as there are cores
_FAR = "cannot be read: the Ray node {} does not see it"


@dataclass(eq=False, slots=True)
class _Batch:
    """Some files under way. outcomes: what was read, as soon as it is known. deaths: the actors it has cost."""

    number: int
    files: list[Entry]
    outcomes: Outcomes | None = None
    deaths: int = 0
    deadline: float = 0.0


@dataclass(eq=False, slots=True)
class _Actor:
    """An actor that is ready. calls: the batch of each call that it has not answered."""

    handle: Any
    node: str
    calls: dict[Any, _Batch] = field(default_factory=dict)


class RayEmbedder:
    """Reads and encodes files on a Ray cluster: an actor for each core, a GPU for as many of them as there are.

    Few files get fewer actors: one for each batch.

    Results come in any order. Every node needs Lookalike in this version, and must see the files under the same paths:
    on a shared file system, or in an object store.
    """

    def __init__(  # noqa: PLR0913  (by name, all but two)
        self,
        load: Load,
        encoder: Encoder,
        dim: int,
        *,
        address: str = "auto",
        limits: Limits | None = None,
        batch_size: int = BATCH,
    ) -> None:
        """Embed with the encoder that `load`, which is sent to the actors, gives there; `encoder` is the same here.

        address: "auto" for the cluster that this machine belongs to, or HOST:PORT, or ray://HOST:PORT.
        """
        self._load, self._fingerprint, self._dim = load, encoder.fingerprint, dim
        self._address = address
        self._limits = limits or Limits()
        self._batch_size = batch_size

    def embed(self, files: Iterable[Entry], known: Known) -> Generator[tuple[Entry, Embedded | str]]:
        """Yield every file with its content, or with the reason why it cannot be read. Raises Unreachable."""
        remaining = iter(files)
        first = list(islice(remaining, self._batch_size))
        if not first:
            return  # without a cluster
        with _connected(self._address) as ray:
            run = _Run(ray, (self._load, self._fingerprint, self._dim, self._limits), known)
            try:
                yield from run.embed(_batches(first, remaining, self._batch_size))
            finally:
                run.close()


def _batches(first: list[Entry], remaining: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    while first:
        yield first
        first = list(islice(remaining, size))


class _Run:
    """One call of `embed`: the actors, and the batches that are under way or have to be sent again."""

    def __init__(self, ray: Any, settings: tuple[Load, str, int, Limits], known: Known) -> None:  # noqa: ANN401  (a module)
        self._ray = ray
        self._settings = settings
        self._known = known
        self._seconds = settings[3].seconds
        self._actors: list[_Actor] = []
        self._coming: dict[Any, Any] = {}  # actors that are not ready, by the call that says so
        self._again: deque[_Batch] = deque()
        self._number = 0
        self._most = _MANY  # actors that can be of use
        self._alone_since = self._ordered = time.monotonic()
        self._kind = ray.remote(max_restarts=0, max_task_retries=0, max_concurrency=_AHEAD + 1)(_Reader)

    def embed(self, batches: Iterator[list[Entry]]) -> Generator[tuple[Entry, Embedded | str]]:
        cores = self._count_cores()
        first = list(islice(batches, cores))
        if len(first) < cores:
            self._most = len(first)
        batches = chain(first, batches)
        self._order_actors()
        is_fed = True
        while is_fed or self._again or self._under_way():
            is_fed = self._send(batches) if is_fed or self._again else False
            for batch, rows in self._receive():
                yield from self._finish(batch, rows)

    def close(self) -> None:
        """End all actors, whatever they are doing."""
        for handle in [*(actor.handle for actor in self._actors), *self._coming.values()]:
            self._kill(handle)
        self._actors, self._coming = [], {}

    def _kill(self, handle: Any) -> None:  # noqa: ANN401  (an actor)
        with contextlib.suppress(Exception):  # dead, or out of reach
            self._ray.kill(handle)

    def _under_way(self) -> int:
        return sum(len(actor.calls) for actor in self._actors)

    def _order_actors(self) -> None:
        """Ask for as many actors as the cluster has cores, and no more than batches; the first with its GPUs."""
        self._ordered = time.monotonic()
        wanted = min(self._count_cores(), self._most)
        gpus = min(int(self._ray.cluster_resources().get("GPU", 0)), wanted)
        missing = wanted - len(self._actors) - len(self._coming)
        for number in range(missing):
            handle = self._kind.options(num_cpus=1, num_gpus=1 if number < gpus else 0).remote(*self._settings)
            self._coming[handle.greet.remote()] = handle

    def _count_cores(self) -> int:
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _greet_actors(self) -> None:
        """Take in the actors that are ready. Raises EncoderMismatch and others that every actor would raise."""
        ready, _ = (
            self._ray.wait([*self._coming], num_returns=len(self._coming), timeout=0) if self._coming else ((), ())
        )
        for call in ready:
            handle = self._coming.pop(call)
            try:
                self._actors.append(_Actor(handle, self._ray.get(call)))
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self._ray.exceptions.RayError as error:
                _raise_cause(error)

    def _send(self, batches: Iterator[list[Entry]]) -> bool:
        """Give every actor as many batches as it may hold; return whether there may be more files."""
        self._greet_actors()
        for actor in sorted(self._actors, key=lambda one: len(one.calls)):
            while len(actor.calls) < _AHEAD:
                batch = self._next_batch(batches)
                if batch is None:
                    return False
                self._call(actor, batch)
        return True

    def _next_batch(self, batches: Iterator[list[Entry]]) -> _Batch | None:
        if self._again:
            return self._again.popleft()
        files = next(batches, None)
        if files is None:
            return None
        self._number += 1
        return _Batch(self._number, files)

    def _call(self, actor: _Actor, batch: _Batch) -> None:
        batch.outcomes = None
        batch.deadline = time.monotonic() + _GRACE + self._seconds * len(batch.files)
        actor.calls[actor.handle.read.remote(batch.number, [file.source for file in batch.files])] = batch

    def _receive(self) -> Iterator[tuple[_Batch, Rows]]:
        """What has come in: batches that are complete, with their embeddings."""
        calls = {call: actor for actor in self._actors for call in actor.calls}
        self._check_patience()
        if not calls:
            self._ray.wait([*self._coming], num_returns=1, timeout=_BEAT)
            return
        ready, _ = self._ray.wait([*calls], num_returns=1, timeout=_BEAT)
        for call in ready:
            actor = calls[call]
            batch = actor.calls.pop(call, None)
            if batch is None:  # its actor has died at a call before
                continue
            try:
                answer = self._ray.get(call)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self._ray.exceptions.RayError:
                self._lose(actor, batch)
            else:
                yield from self._take(actor, batch, answer)
        for actor in [one for one in self._actors if self._is_late(one)]:
            self._kill(actor.handle)
            self._lose(actor)

    def _take(self, actor: _Actor, batch: _Batch, answer: Any) -> Iterator[tuple[_Batch, Rows]]:  # noqa: ANN401
        """What was read is asked to be encoded, as far as it is not known; what was encoded is complete."""
        if batch.outcomes is not None:
            yield batch, answer
            return
        batch.outcomes = answer
        digests = {one.digest for one in batch.outcomes if isinstance(one, Embedded)}
        wanted = digests - self._known(digests) if digests else set()
        self._explain_vanished(actor, batch)
        actor.calls[actor.handle.encode.remote(batch.number, wanted)] = batch

    def _explain_vanished(self, actor: _Actor, batch: _Batch) -> None:
        """A file that is gone on another node, and is here, is not gone: the node does not see it."""
        for number, (file, outcome) in enumerate(zip(batch.files, batch.outcomes or (), strict=True)):
            if outcome == VANISHED and may_exist(file.source) and batch.outcomes is not None:
                batch.outcomes[number] = _FAR.format(actor.node)

    def _lose(self, actor: _Actor, *batches: _Batch) -> None:
        """Send what a dead actor held to others, and ask for another actor. Raises Unreachable after many deaths."""
        if actor in self._actors:
            self._actors.remove(actor)
        lost = [*batches, *actor.calls.values()]
        actor.calls.clear()
        for batch in lost:
            batch.deaths += 1
            if batch.deaths >= _DEATHS:
                raise Unreachable(
                    f"{batch.deaths} Ray actors died one after the other while reading the same files",
                    hint="what was saved is safe; see the logs of Ray on its nodes, then index again",
                )
        self._again.extend(lost)
        self._alone_since = time.monotonic()
        self._order_actors()

    def _is_late(self, actor: _Actor) -> bool:
        return any(time.monotonic() > batch.deadline for batch in actor.calls.values())

    def _check_patience(self) -> None:
        """Ask for more actors where there may be some; raise Unreachable when there has been none for long."""
        if time.monotonic() - self._ordered > _ORDERED:
            self._order_actors()
        if self._actors:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > _PATIENCE:
            raise Unreachable(
                f"the Ray cluster has had no free core for Lookalike for {_PATIENCE:g} s",
                hint="what was saved is safe; see `ray status`, then index again",
            )

    def _finish(self, batch: _Batch, rows: Rows) -> Iterator[tuple[Entry, Embedded | str]]:
        for file, outcome in zip(batch.files, batch.outcomes or (), strict=True):
            if isinstance(outcome, str):
                yield file, outcome
            else:
                yield file, replace(outcome, embedding=rows.get(outcome.digest))


class _Reader:
    """What an actor is: a decoder in a bounded process of its own, and the encoder."""

    def __init__(self, load: Load, fingerprint: str, dim: int, limits: Limits) -> None:
        limit_threads(1)  # an actor has one core: on a node of 64, each would start 64 threads
        self._encoder = guard(load())
        if self._encoder.fingerprint != fingerprint:
            raise EncoderMismatch(
                f"the Ray node {os.uname().nodename} has another version of the encoder {self._encoder.name}",
                hint="install the same version of Lookalike on all nodes",
            )
        self._dim = dim
        self._pool = DecoderPool(self._encoder.view, limits=limits, workers=1)
        self._pictures: dict[int, list[DecodedPicture]] = {}

    def greet(self) -> str:
        """The name of the node, once the encoder is loaded."""
        return os.uname().nodename

    def read(self, number: int, paths: Sequence[bytes]) -> Outcomes:
        """What is in these files but their embeddings, or the reasons; the pictures are kept for `encode`."""
        results = [result for _, result in self._pool.read(paths)]
        pictures = [result for result in results if isinstance(result, DecodedPicture)]
        self._pictures[number] = pictures
        descriptions = iter(describe(pictures))
        return [
            to_embedded(result, None, next(descriptions)) if isinstance(result, DecodedPicture) else result
            for result in results
        ]

    def encode(self, number: int, wanted: Collection[bytes]) -> Rows:
        """The embeddings of those pictures of a batch that are wanted, each content once; the batch is forgotten."""
        by_digest = {picture.digest: picture for picture in self._pictures.pop(number) if picture.digest in wanted}
        rows = encode_pictures(self._encoder, [*by_digest.values()], self._dim) if by_digest else ()
        return dict(zip(by_digest, rows, strict=True))


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    """The module `ray`, connected to a cluster; a connection that was there before stays. Raises Unreachable."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    if importlib.util.find_spec("ray") is None:
        raise MissingExtra("encoding on a cluster needs the package ray", hint=how_to_install("lookalike[ray]"))
    if "ray" in sys.modules and importlib.import_module("ray").is_initialized():
        yield sys.modules["ray"]
        return
    try:
        _knock(address)  # before a second goes into importing Ray
        ray = importlib.import_module("ray")
        ray.init(address=address, namespace="lookalike", log_to_driver=False, configure_logging=False)
    except Exception as error:  # noqa: BLE001  (ConnectionError, ValueError, RuntimeError and errors of gRPC)
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Unreachable(
            f"no Ray cluster can be reached at {address}: {why}",
            hint="start one with `ray start --head`, or give its address: --ray HOST:PORT",
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError unless something listens at HOST:PORT: Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()


def _raise_cause(error: Exception) -> None:
    """Raise what an actor's constructor has raised; an actor that merely died is replaced."""
    cause = getattr(error, "cause", None) or getattr(error, "__cause__", None)
    text = str(error)
    if "EncoderMismatch" in text:
        raise EncoderMismatch(
            "a Ray node has another version of the encoder", hint="install the same version of Lookalike on all nodes"
        ) from cause
    if "creation task" in text or "__init__" in text:
        last = [line for line in text.splitlines() if line.strip()][-1].strip()
        raise Unreachable(f"a Ray node cannot start the encoder: {last}") from cause
