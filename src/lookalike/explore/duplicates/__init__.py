"""Pictures that a gallery has more than once: found, proved, grouped by kind, and put aside.

find        candidates from what the gallery keeps, proofs from the pictures, groups
trash       copies moved into a folder, and brought back
"""

from lookalike.explore.duplicates.find import DuplicateOptions, find_duplicates
from lookalike.explore.duplicates.groups import Duplicates, Group, Pair, Picture

__all__ = ["DuplicateOptions", "Duplicates", "Group", "Pair", "Picture", "find_duplicates"]
