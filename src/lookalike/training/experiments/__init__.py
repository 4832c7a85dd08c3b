"""The results of the experiments: a file for each finished training, and a page that is generated from the files.

`results` measures a training and writes its file, `logged` has what the original's log says about the same
experiment, `lessons` draws conclusions, and `page` puts everything on one page. Only measuring needs TensorFlow.
"""

from lookalike.training.experiments.page import write_page
from lookalike.training.experiments.results import Result, read_results, record

__all__ = ["Result", "read_results", "record", "write_page"]
