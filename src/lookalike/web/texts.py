"""Every text of the page, in one place, so that it can be translated.

Sentence case, verbs on buttons, no jargon: a collection and its copies, not a gallery and its embeddings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lookalike.search.hits import Hit

__all__ = ["FIELDS", "PROBLEMS", "TEXTS", "closeness", "count_pictures", "explain_encoder", "numbers", "show_size"]

TEXTS = {
    "name": "Lookalike",
    "find": "Find",
    "collection": "Collection",
    "skip": "Skip to the pictures",
    "search_label": "Search by words",
    "search_placeholder": "Drop a picture, paste one, or type",
    "search_placeholder_wordless": "Drop a picture here, or paste one",
    "suggested": "Do you mean one of these?",
    "search": "Search",
    "choose": "Choose a picture",
    "choose_go": "Find lookalikes",
    "color": "Search by colour",
    "color_go": "Find this colour",
    "drop_here": "Drop it anywhere to find its lookalikes",
    "more_like": "More like this",
    "add": "Add: more like this",
    "subtract": "Add: less like this",
    "open": "Open this picture",
    "remove": "Remove",
    "clear": "Clear all",
    "like": "like",
    "not_like": "not like",
    "not": "Not ",
    "your_picture": "your picture",
    "sample": "From your collection",
    "hits": "Most alike first",
    "more": "Show more",
    "nothing_good": "Nothing in the collection is close to this. These are the nearest.",
    "nothing": "No picture found.",
    "undescribed": "Some pictures have no colours noted yet, so they cannot be found by colour.",
    "empty": "This collection is empty",
    "empty_how": "Add a folder of pictures with this command, then load this page again:",
    "filter": "Filter",
    "filtered": "Only",
    "folder": "Folder",
    "year": "Year",
    "camera": "Camera",
    "format": "Format",
    "facts": "Facts",
    "where": "Where it is",
    "copy": "Copy the path",
    "copied": "Copied",
    "taken": "Taken",
    "size": "Size",
    "back": "Back",
    "gone": "This picture's file is no longer where it was.",
    "lookalikes": "Its lookalikes",
    "find_more": "Find more like this",
    "skipped": "Files that could not be read",
    "skipped_none": "Every picture that was found could be read.",
    "skipped_more": "and more; this command lists them all:",
    "folders": "Folders",
    "folders_none": "No folder has been added yet.",
    "details": "Details",
    "encoder": "How pictures are compared",
    "problem": "That did not work",
    "start_again": "Start again",
    "server_gone": "Lookalike has stopped. This page tries again until it is back.",
    "looking": "Looking…",
    "loading": "Getting ready to search…",
    "captions": "Names",
    "row_size": "Size of the pictures",
    "keys": "Keys",
    "keys_search": "search by words",
    "keys_move": "move among the pictures",
    "keys_enter": "find more like this picture",
    "keys_open": "open it",
    "keys_add": "more, or less, like this as well",
    "keys_back": "one step back",
    "keys_help": "show or hide this",
    "close": "Close",
    "private": "Nothing leaves this computer.",
}

FIELDS = {"label": "Folder", "folder": "In folder", "date": "Date", "tag": "Taught name", "color": "Colour"}
"""The fields of filters; others are named by themselves."""

PROBLEMS = {
    "too_large": "That file is larger than 32 MB. A smaller copy of the picture finds the same.",
    "unknown_word": "“{text}” is not a word that this collection can be searched by.",
    "no_words": "This collection cannot be searched by words yet. A picture or a colour finds its lookalikes.",
    "forgotten": "That picture is remembered no longer. Drop it again to find its lookalikes.",
    "not_found": "There is no such page.",
    "unknown_picture": "The collection has no such picture any more.",
    "empty": "Choose a picture first: that file is empty.",
    "no_file": "Choose a picture first.",
    "collection_unavailable": "The collection cannot be read at the moment.",
    "internal": "Something went wrong in Lookalike itself. Its log says more.",
}
"""What went wrong, by the code of the problem; others say it themselves."""

_KINDS = {
    "efficientnet": "A neural network that has seen a million photographs compares what pictures show.",
    "histogram": "Pictures are compared by their colours alone.",
    "patches": "Pictures are compared by small pieces, as they were learned from this collection.",
    "selfsup": "Pictures are compared by a neural network that was trained on this collection.",
}
_KIND = "A neural network compares what the pictures show and how they are laid out."

_SAME = 0.0005
_VERY_CLOSE, _CLOSE, _ALIKE = 0.95, 0.5, 0.05  # shares of the collection's own pictures whose nearest is farther


def closeness(hit: Hit) -> str:
    """What a hit's distance means, in words; "" where that is not known."""
    if hit.distance < _SAME and (hit.chance is None or hit.chance > _ALIKE):
        return "Almost certainly the same picture"
    if hit.chance is None:
        return ""
    if hit.chance >= _VERY_CLOSE:
        return "Very close"
    if hit.chance >= _CLOSE:
        return "Close"
    return "Alike" if hit.chance >= _ALIKE else "Not very alike"


def numbers(hit: Hit) -> str:
    """The numbers behind the words, for those who hover."""
    distance = f"Distance {hit.distance:.4f}"
    if hit.expected is None:
        return distance
    if hit.expected >= 1:
        return f"{distance}; {hit.expected:,.0f} pictures are this near by chance"
    return f"{distance}; 1 in {1 / max(hit.expected, 1e-6):,.0f} by chance"


def count_pictures(count: int) -> str:
    """A number of pictures."""
    return "1 picture" if count == 1 else f"{count:,} pictures"


def explain_encoder(name: str) -> str:
    """How an encoder compares pictures, in a sentence."""
    return next((text for kind, text in _KINDS.items() if name.startswith(kind)), _KIND)


def show_size(count: int | None) -> str:
    """A size of a file."""
    if count is None:
        return ""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
