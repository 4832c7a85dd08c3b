"""The documents of the API, as its OpenAPI describes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "PROBLEMS",
    "WORKING",
    "Clusters",
    "Dropped",
    "Duplicates",
    "Event",
    "Failure",
    "Filters",
    "Found",
    "Group",
    "Job",
    "Map",
    "Moved",
    "Picture",
    "Pictures",
    "SkippedFiles",
    "Working",
]


def _example(**fields: Any) -> ConfigDict:  # noqa: ANN401  (JSON)
    return ConfigDict(json_schema_extra={"example": fields})


_PICTURE = {"id": 2, "path": "/p/b.jpg", "display": "/p/b.jpg"}
_FACTS = {"width": 4000, "height": 3000, "format": "JPEG", "size": 2_400_000, "camera": None, "taken_at": None}


class Hit(BaseModel):
    """One picture that was found."""

    rank: int
    path: str
    display: str
    distance: float
    id: int
    chance: float | None = None
    expected: float | None = None
    missing: bool = False


class Found(BaseModel):
    """A search: the document of `lookalike search --json`."""

    model_config = _example(
        query={"id": 1}, hits=[{"rank": 1, "distance": 0.21, **_PICTURE}], encoder="efficientnet-lite0-int8"
    )
    query: dict[str, Any]
    hits: list[Hit]
    encoder: str
    nothing_good: bool | None = None
    undescribed: int = 0
    offset: int = 0


class Picture(BaseModel):
    """A picture of the collection."""

    model_config = _example(**_PICTURE, **_FACTS)
    id: int
    path: str
    display: str
    width: int | None
    height: int | None
    format: str | None
    size: int | None
    camera: str | None
    taken_at: str | None


class Pictures(BaseModel):
    """Some pictures by id, how many there are, and where to continue."""

    images: list[Picture]
    total: int
    next: int | None = Field(description="The value of `after` for the next page.")


class Skipped(BaseModel):
    """A file that was found but could not be read."""

    path: str
    display: str
    reason: str


class SkippedFiles(BaseModel):
    """Files that could not be read, how many there are, and where to continue."""

    skipped: list[Skipped]
    total: int
    next: int | None


class Dropped(BaseModel):
    """The name of a picture that was sent, for queries `{"dropped": NAME}`, and its size in pixels."""

    model_config = _example(dropped="mD1d4xqvFfM0cJ9B", width=4000, height=3000)
    dropped: str
    width: int
    height: int


class Working(BaseModel):
    """What was asked for is being computed in the background: ask again."""

    model_config = _example(status="working", what="map", done=120, total=500)
    status: Literal["working"]
    what: str
    done: int
    total: int


class Island(BaseModel):
    """A group of the map: its name, how many pictures it has, and the position of one in its middle."""

    name: str
    count: int
    x: float
    y: float


class Map(BaseModel):
    """The map as columns with an entry for each picture, by id; x to the right and y upwards, both in [-1, 1].

    group: the index in `groups`. is_current: whether the gallery has not changed since.
    """

    model_config = _example(
        ids=[1, 2],
        x=[-0.5, 0.25],
        y=[0.125, 1.0],
        group=[0, 0],
        groups=[{"name": "beach", "count": 2, "x": -0.5, "y": 0.125}],
        count=2,
        generation=7,
        is_current=True,
    )
    ids: list[int]
    x: list[float]
    y: list[float]
    group: list[int]
    groups: list[Island]
    count: int
    generation: int
    is_current: bool


class Named(BaseModel):
    """A picture by its id and path."""

    id: int
    path: str
    display: str


class Cluster(BaseModel):
    """A group of pictures that are alike, and its most typical pictures. number: for `/api/v1/clusters/NUMBER`."""

    number: int
    name: str
    count: int
    pictures: list[Named]


class Clusters(BaseModel):
    """The groups, the largest first."""

    model_config = _example(
        clusters=[{"number": 0, "name": "beach", "count": 2, "pictures": [_PICTURE]}],
        total=1,
        next=None,
        generation=7,
        is_current=True,
    )
    clusters: list[Cluster]
    total: int
    next: int | None
    generation: int
    is_current: bool


class Group(BaseModel):
    """All pictures of one group, the most typical first, in pages."""

    number: int
    name: str
    pictures: list[Named]
    total: int
    next: int | None
    generation: int
    is_current: bool


class Copy(Named):
    """A picture of a group of duplicates. found: what was done to make it. action: what the rule would do with it."""

    width: int | None
    height: int | None
    size: int | None
    action: Literal["keep", "move", ""]
    found: str
    reason: str = Field(description="Why it would stay although it looks like a copy, or empty.")


class Copies(BaseModel):
    """Pictures that are the same, or show the same scene, with the evidence for each pair that was compared."""

    number: int
    kind: Literal["identical", "same picture", "same scene"]
    proven: bool
    pictures: list[Copy]
    pairs: list[dict[str, Any]]


class Duplicates(BaseModel):
    """The groups of duplicates and what a rule would move. mark: names this result, to apply its plan."""

    model_config = _example(
        groups=[
            {
                "number": 1,
                "kind": "identical",
                "proven": True,
                "pictures": [
                    {**_PICTURE, "width": 64, "height": 48, "size": 900, "action": "keep", "found": "", "reason": ""}
                ],
                "pairs": [],
            }
        ],
        total=1,
        next=None,
        moves=1,
        bytes=900,
        compared=1,
        left=0,
        undescribed=0,
        unreadable=[],
        mark="7",
        is_current=True,
    )
    groups: list[Copies]
    total: int
    next: int | None
    moves: int
    bytes: int = Field(description="How many bytes the files that would be moved take.")
    compared: int
    left: int
    undescribed: int
    unreadable: list[Skipped]
    mark: str
    is_current: bool


class Moved(BaseModel):
    """Files that were moved, from and to, and those that were not, with the reason."""

    model_config = _example(moved=[{"path": "/p/b.jpg", "display": "/p/b.jpg", "to": "/trash/b.jpg"}], failed=[])
    moved: list[dict[str, str]]
    failed: list[Skipped]


class Value(BaseModel):
    """A value, how many pictures have it, and the filter that selects these."""

    value: str
    count: int
    where: str


class Filters(BaseModel):
    """The values of each field among some pictures, the most frequent first."""

    model_config = _example(filters={"label": [{"value": "beach", "count": 2, "where": "label:beach"}]}, total=2)
    filters: dict[str, list[Value]]
    total: int


class Job(BaseModel):
    """A run of `index` that was started here. report: that of `lookalike index --json` once it is done."""

    model_config = _example(state="running", done=120, total=500, report=None, error=None)
    state: Literal["none", "running", "done", "failed", "cancelled"]
    done: int
    total: int
    report: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class Event(BaseModel):
    """The state of the collection, as it is sent whenever it changes."""

    model_config = _example(pictures=120, skipped=1, generation=9, is_changing=True, index={"state": "running"})
    pictures: int
    skipped: int
    generation: int
    is_changing: bool = Field(description="Whether it has changed in the last few seconds, by any process.")
    index: Job
    surveys: dict[str, Working]


class Details(BaseModel):
    """What is wrong. id: also in the server's log."""

    code: str
    message: str
    hint: str = ""
    id: str = ""


class Failure(BaseModel):
    """The answer to every request that cannot be fulfilled."""

    model_config = _example(error={"code": "unreadable_image", "message": "damaged", "hint": ""})
    error: Details


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": text}
    for status, text in {
        400: "The request cannot be read.",
        401: "The token is missing or wrong.",
        403: "The request comes from a page of another site, or this server does not allow changes.",
        404: "There is no such picture.",
        409: "The collection has changed since it was looked at, or another process is changing it.",
        413: "The picture is too large.",
        415: "The body is neither a picture nor JSON.",
        422: "The request asks for something impossible, or the picture cannot be read.",
        503: "The server is too busy or not ready; try again after `Retry-After` seconds.",
    }.items()
}
WORKING: dict[int | str, dict[str, Any]] = {
    202: {"model": Working, "description": "The answer is being computed: ask again."}
}
