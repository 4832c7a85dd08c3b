"""Folders of other programs: what was thrown away, what can be made again, and what only looks like photographs.

The names are those that the programs themselves give, compared without regard to case: the recycle bins of Windows,
Linux, macOS, Synology, QNAP and Samba; the thumbnails and snapshots of network drives; previews and caches of
Lightroom, Capture One and Photos; what macOS and Windows keep on a disk and in a home folder for themselves and for
programs. In the library of a photo program, only the folder of the original pictures is looked
at.
"""

from __future__ import annotations

import re

__all__ = ["belongs_to_another_program"]

_FOLDERS = re.compile(
    rb"""
    [$#@._]recycle[rd]? | recycle[rd] | [$#@._]?recycle[\ ._-]?bin | trashbox | network\ trash\ folder | lost\+found
    | \.trash.* | \.dtrash
    | @eadir | \.@__thumb | @__thumb | @tmp | @sharebin | @transcode | temporary\ items
    | \.thumb(?:nail|s?_?cache)s? | \.\w*bridgecache\w*
    | [#.~@]snapshots? | @recently-snapshot
    | .*\.lrdata | .*\.lrcat-data | .*\.imovielibrary | .*\.fcpbundle | .*\.theater | .*\.tvlibrary | .*\.musiclibrary
    | node_modules | __macosx | system\ volume\ information
    | \.spotlight-v100 | \.fseventsd | \.documentrevisions-v100 | \.temporaryitems | \.mobilebackups
    | backups\.backupdb | .*\.backupbundle
    | appdata | programdata | inetcache | \$winreagent | \$windows\.~\w+ | \$sysreset | windows\.old | config\.msi
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_LIBRARIES = re.compile(
    rb".*\.(?:photos?library|migratedphotolibrary|aplibrary|aperturelibrary|cocatalog)|iphoto library",
    re.IGNORECASE | re.DOTALL,
)
_ORIGINALS = {b"originals", b"masters"}
_MAC = {  # in a folder `Library`, as every home folder of macOS has one; the name alone is one that people use
    *(b"application support", b"caches", b"containers", b"group containers", b"developer", b"httpstorages", b"webkit"),
    *(b"daemon containers", b"metadata", b"messages", b"mail", b"safari", b"saved application state"),
}
_CAPTURE_ONE = {b"cache", b"settings"}  # in a folder `CaptureOne` beside the pictures


def belongs_to_another_program(name: bytes, parent: bytes) -> bool:
    """Whether a file or folder of this name, in a folder named `parent`, is something that another program keeps."""
    if _LIBRARIES.fullmatch(parent):
        return name.lower() not in _ORIGINALS
    if parent.lower() == b"library" and name.lower() in _MAC:
        return True
    if parent.lower() == b"captureone":
        return name.lower() in _CAPTURE_ONE
    return _FOLDERS.fullmatch(name) is not None
