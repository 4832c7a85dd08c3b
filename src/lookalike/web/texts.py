"""Every text of the page, in one place, so that it can be translated.

Sentence case, verbs on buttons, no jargon: a collection and its copies, not a gallery and its embeddings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lookalike.search.hits import Hit

__all__ = [
    "FIELDS",
    "FILE_SIZES",
    "KEEP",
    "KINDS_OF_COPIES",
    "PARTS",
    "PROBLEMS",
    "RANGES",
    "TEXTS",
    "closeness",
    "count_pictures",
    "explain_encoder",
    "numbers",
    "show_size",
]

TEXTS = {
    "name": "Lookalike",
    "find": "Find",
    "collection": "Collection",
    "skip": "Skip to the pictures",
    "search_label": "Search by words",
    "search_placeholder": "Drop a picture, paste one, or type",
    "search_placeholder_wordless": "Drop a picture here, or paste one",
    "search_hint_wordless": "No words are known here yet: `lookalike teach` adds some; some encoders understand text",
    "suggested": "Did you mean one of these?",
    "teach_how": "You can teach it a word with some pictures as examples:",
    "search": "Search",
    "choose": "Choose a picture",
    "choose_go": "Find lookalikes",
    "color": "Search by colour",
    "color_go": "Find this colour",
    "drop_here": "Drop it anywhere to find its lookalikes",
    "add_picture": "Add a picture",
    "add_go": "Add it",
    "add": "More like this too",
    "subtract": "Less like this",
    "weigh_more": "Count this more",
    "weigh_less": "Count this less",
    "times": "\u00d7 {weight}",
    "good": "also like",
    "bad": "not like",
    "part_of": "part of {name}",
    "mix": "What matters more: what the pictures show, or their colours",
    "mix_content": "Content",
    "mix_colors": "Colours",
    "mix_go": "Apply",
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
    "nothing_good": "Here are the nearest anyway. None is closer than pictures often are by chance.",
    "nothing_good_head": "Nothing here comes close",
    "nothing": "No picture found",
    "nothing_else": "There are no other pictures here to compare with yet.",
    "nothing_filtered": "No picture passes all of these filters.",
    "drop_filter": "Without “{name}”: {count}",
    "undescribed": "The colours of some pictures are not known yet, so a colour cannot find them.",
    "empty": "This collection is empty",
    "empty_start": "Add pictures",
    "empty_how": "Add a folder of pictures with this command, then load this page again:",
    "empty_add": "Start with a folder of pictures. They stay where they are.",
    "add_how": "To add a folder, or to bring one up to date:",
    "add_label": "Folder of pictures",
    "add_example": "/home/me/Pictures",
    "add_folder": "Add its pictures",
    "refresh": "Bring up to date",
    "adding": "Looking at your pictures",
    "adding_stop": "Stop",
    "added": "{count} added last time.",
    "added_none": "Nothing new was found last time.",
    "add_failed": "Adding pictures stopped early:",
    "no_folder": "There is no folder {path} on this computer.",
    "filter": "Filters",
    "asked_for": "What you are looking for",
    "folder": "Folder",
    "year": "Year",
    "camera": "Camera",
    "format": "Format",
    "file_size": "File size",
    "facts": "Facts",
    "where": "Where it is",
    "copy": "Copy the path",
    "copy_command": "Copy the command",
    "copied": "Copied",
    "open_folder": "Open its folder",
    "taken": "Taken",
    "size": "Size",
    "back": "Back to results",
    "before": "Previous picture",
    "after": "Next picture",
    "of": "of",
    "whole": "Picture",
    "compare": "Compare",
    "compare_wipe": "Show more of one or the other",
    "compare_query": "What you searched for",
    "heat": "What matches",
    "heat_note": "Red parts match more than the rest of their picture, blue ones less.",
    "heat_waiting": "Comparing the two…",
    "a_part": "Search with a part of it",
    "a_part_how": "Drag a box on the picture, or use",
    "mark": "Mark a part",
    "mark_go": "Find this part",
    "mark_stop": "Cancel",
    "mark_box": "The marked part. Arrow keys move it, with Shift they resize it, Enter searches with it.",
    "mark_how": "Draw a box around a part, or move this one with the arrow keys. With Shift, they resize it.",
    "mark_place": "{x} from the left, {y} from the top, {wide} wide, {high} high, in percent",
    "copies_of": "See its copies",
    "copies": "Copies",
    "copies_looking": "Looking for copies",
    "copies_back": "Back to copies",
    "copies_none": "No copies found",
    "copies_none_how": "Every picture was compared with the ones most like it.",
    "copies_groups": "Copies of {count}",
    "copies_left": "{count} pairs that look less alike were not compared; `lookalike duplicates --budget` can.",
    "keep": "In each group, keep",
    "kept": "Stays",
    "goes": "To trash folder",
    "stays": "Stays too",
    "pick": "Keep this one",
    "leave": "Keep all of these",
    "left_alone": "All of these stay.",
    "distinct": "Not copies of each other",
    "plan": "{count} would move to the trash folder, {size} in all.",
    "plan_none": "Nothing would move.",
    "plan_safe": "Nothing has been moved, and nothing is ever deleted.",
    "plan_csv": "Plan as a table",
    "plan_sh": "Plan as a script",
    "plan_how": "The script moves them. So can this page, if Lookalike is started with --allow-write.",
    "move": "Move {count} to trash folder…",
    "move_sure": "They go to {trash}. A button on this page brings them back.",
    "move_go": "Move them",
    "moved": "{count} moved to the trash folder",
    "moved_none": "Nothing was moved",
    "moved_how": "The trash folder is {trash}.",
    "undo": "Bring back",
    "in_trash": "In the trash folder: {count}.",
    "back_done": "{count} back in place",
    "back_none": "Nothing was brought back",
    "failed": "These stayed where they were:",
    "earlier": "Earlier groups",
    "later": "More groups",
    "map": "Map",
    "map_drawing": "Drawing the map of the collection",
    "map_label": "Map of the collection. The list below it shows the same groups.",
    "map_keys": "Drag to move, scroll to zoom, click a picture to open it. Shift and drag to draw around several.",
    "map_closer": "Zoom in",
    "map_farther": "Zoom out",
    "map_all": "Show everything",
    "map_lasso": "Draw a line around pictures",
    "map_list": "The groups as a list",
    "map_back": "Back to the map",
    "lasso_found": "Inside your line",
    "waiting": "{done} of {total}",
    "waiting_how": "You can use the other pages meanwhile.",
    "indexing": "The collection is growing: {count} pictures so far",
    "words_known": "You can search the collection by words.",
    "words_unknown": "You cannot search the collection by words yet, unless you teach it names.",
    "gone": "This picture's file is no longer where it was.",
    "gone_head": "The file is gone",
    "gone_how": "It may have been moved, renamed or deleted. Its lookalikes are still found.",
    "gone_seen": "As it was last seen",
    "gone_then": "This command brings the collection up to date:",
    "lookalikes": "Its lookalikes",
    "find_more": "Find more like this",
    "skipped": "Files that could not be read",
    "skipped_none": "Every picture that was found could be read.",
    "skipped_more": "{count} more; this command lists them all:",
    "folders": "Folders",
    "folders_more": "{count} more folders",
    "without": "without {pattern}",
    "folders_none": "No folder has been added yet.",
    "details": "Details",
    "encoder": "How pictures are compared",
    "problem": "That did not work",
    "damaged_how": "Stop Lookalike, run this command and start it again:",
    "token": "This page needs a token",
    "token_how": "The person who started Lookalike knows it. Enter it as the password; any user name will do.",
    "token_go": "Enter the token",
    "start_again": "Start again",
    "server_gone": "Lookalike has stopped. This page keeps trying until it is back.",
    "looking": "Looking…",
    "captions": "Names below the pictures",
    "row_size": "Size of the pictures",
    "keys": "Keys",
    "keys_search": "search by words",
    "keys_move": "move among the pictures",
    "keys_enter": "find more like this picture",
    "keys_open": "open it",
    "keys_add": "more like this one too, or less",
    "keys_type": "so does typing anywhere",
    "keys_compare": "in the large view: compare, what matches",
    "keys_part": "in the large view: mark a part to search with",
    "keys_walk": "in the large view: the one before, the next",
    "keys_back": "one step back",
    "keys_help": "show or hide this",
    "close": "Close",
    "private": "Nothing leaves this computer.",
}

FIELDS = {
    "label": "Folder",
    "folder": "In folder",
    "date": "Date",
    "tag": "Taught name",
    "color": "Colour",
    "size": "File size",
}
"""The fields of filters; others are named by themselves."""

RANGES = {">=": "at least", "<=": "at most", ">": "over", "<": "under"}
"""The signs in front of a value of a filter."""

FILE_SIZES = {
    "<100kB": "under 100 kB",
    "100kB..1MB": "100 kB to 1 MB",
    "1MB..10MB": "1 to 10 MB",
    ">10MB": "over 10 MB",
}
"""The sizes of files that can be chosen, as filters say them."""

PARTS = {
    "middle": "the middle",
    "left": "the left half",
    "right": "the right half",
    "top": "the upper half",
    "bottom": "the lower half",
}
"""Parts of a picture that can be searched with by a click."""

KEEP = {
    "largest": "the largest",
    "oldest": "the oldest",
    "path order": "the first by name",
    "most metadata": "the one with date and camera",
}
"""The rules for what is kept of copies."""

KINDS_OF_COPIES = {
    "identical": "The same file, more than once",
    "same picture": "The same picture",
    "same scene": "The same scene, from another moment; none of these would move",
    "guess": "Perhaps the same picture, but not compared closely; none of these would move",
}
"""What the pictures of a group are to each other."""

PROBLEMS = {
    "too_large": "That file is larger than 32 MB. A smaller copy of the picture finds the same.",
    "unknown_word": "This collection does not know the word “{text}”.",
    "no_words": "This collection cannot be searched by words yet. A picture or a colour finds its lookalikes.",
    "forgotten": "That picture is no longer remembered. Drop it again to find its lookalikes.",
    "not_found": "There is no such page.",
    "no_group": "The map no longer has that group.",
    "not_here": "This can only be done on the computer that Lookalike runs on.",
    "no_screen": "No window can be opened on the computer that Lookalike runs on.",
    "read_only": "This page cannot change anything. To allow changes: lookalike serve --allow-write",
    "plan_changed": "The collection has changed since this page was shown. Look at the copies again first.",
    "unknown_picture": "The collection no longer has that picture.",
    "empty": "Choose a picture first: that file is empty.",
    "no_file": "Choose a picture first.",
    "collection_damaged": "The collection is damaged. Your pictures themselves are untouched.",
    "collection_unavailable": "The collection cannot be read at the moment.",
    "encoder_unavailable": "The encoder of this collection cannot be used at the moment.",
    "internal": "Something went wrong inside Lookalike. Its log says more.",
}
"""What went wrong, by the code of the problem; others say it themselves."""

_KINDS = {
    "efficientnet": "A neural network that has seen a million photographs compares what pictures show.",
    "histogram": "Pictures are compared by their colours alone.",
    "patches": "Pictures are compared by small pieces that were learned from this collection.",
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


def write_sides(width: int | None, height: int | None) -> str:
    """The size of a picture in pixels; "" where it is not known."""
    return f"{width} \u00d7 {height}" if width else ""


def show_size(count: int | None) -> str:
    """A size of a file."""
    if count is None:
        return ""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
