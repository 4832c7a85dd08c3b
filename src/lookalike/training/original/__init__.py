"""What the described system left behind, made into what Lookalike uses; nothing in its files is ever run.

`pickles` reads a pickle as data, `weights` the numbers of a Keras 2 file in a process of its own, `model` fits them to
the described architecture, `features` takes the index and, where it can be verified, makes a gallery of it.
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
