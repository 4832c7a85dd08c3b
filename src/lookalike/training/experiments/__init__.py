"""What the experiments came to: a file for each finished training, and the page that is made of the files.

`results` measures a training and keeps what came out, `logged` is what the original's log says of the same
experiment, `lessons` is what the numbers teach, `page` puts all of it on one page. Only measuring needs TensorFlow.
"""

from lookalike.training.experiments.page import write_page
from lookalike.training.experiments.results import Result, read_results, record

__all__ = ["Result", "read_results", "record", "write_page"]
