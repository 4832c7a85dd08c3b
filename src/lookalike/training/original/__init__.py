"""Convert the files of the original system; nothing in them is ever run.

`pickles` reads a pickle as data, and `weights` the arrays of a Keras 2 file in a child process. `model` fits these to
the described architecture. `features` reads the index and, where it can be verified, turns it into a gallery.
"""

from lookalike.training.original.features import Features, make_gallery, ordered_pictures, read_features
from lookalike.training.original.model import Imported, import_model, is_weights_file

__all__ = [
    "Features",
    "Imported",
    "import_model",
    "is_weights_file",
    "make_gallery",
    "ordered_pictures",
    "read_features",
]
