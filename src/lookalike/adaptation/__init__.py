"""From embeddings to the vectors that one gallery compares, with numpy alone.

`plan` says what is fitted, `projection` centres and rotates, `expansion` smooths with nearest neighbours, `lda` learns
from labels, and `serialize` turns all of it into bytes and back.

Embeddings of 64 dimensions that really vary in eight, adapted to a gallery of 500 pictures:

    >>> import numpy as np
    >>> from lookalike.adaptation.plan import Plan, fit_plan
    >>> rng = np.random.default_rng(0)
    >>> embeddings = rng.standard_normal((500, 8)).astype(np.float32) @ rng.standard_normal((8, 64)).astype(np.float32)
    >>> plan = Plan(dims=[64], shares=[], blend=[False], most=[16])
    >>> projection = fit_plan(plan, lambda: [embeddings])
    >>> projection.apply(embeddings).shape
    (500, 8)

Kept as bytes, and read again:

    >>> from lookalike.adaptation.serialize import from_entries, to_entries
    >>> summary, entries = to_entries(projection)
    >>> again = from_entries(summary, entries, dim=64)
    >>> bool((again.apply(embeddings) == projection.apply(embeddings)).all())
    True
"""
