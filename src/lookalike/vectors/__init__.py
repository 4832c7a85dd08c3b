"""Nearest neighbours on this machine, with numpy and faiss alone: no database, no picture files, no encoders.

`metric` defines the distances, `exact` ranks every vector, `ivf` builds and reads inverted lists, `searcher` chooses
between them, and `mapped` keeps arrays in files that are mapped into memory and checked before they are used.

The two nearest of 1,000 vectors of 64 dimensions to one of them:

    >>> import numpy as np
    >>> from lookalike.vectors.exact import Matrix, prepare_vectors
    >>> from lookalike.vectors.searcher import Part, Searcher
    >>> embeddings = np.random.default_rng(0).standard_normal((1000, 64)).astype(np.float32)
    >>> vectors = prepare_vectors(embeddings, "cosine")  # of length 1
    >>> searcher = Searcher([Part(Matrix(np.arange(1000), vectors, "cosine"))])
    >>> (near,) = searcher.search(vectors[7:8], k=2)
    >>> near.ids.tolist()
    [7, 301]
    >>> near.distances.round(3).tolist()
    [0.0, 0.625]

The same among the even ids, and with the last 32 dimensions counting for half:

    >>> (near,) = searcher.search(vectors[7:8], k=2, among=np.arange(0, 1000, 2))
    >>> near.ids.tolist()
    [882, 676]
    >>> weights = np.repeat([1, 0.5], 32).astype(np.float32)
    >>> query = prepare_vectors(vectors[7:8] * weights, "cosine")
    >>> (near,) = searcher.weighted(weights).search(query, k=2)
    >>> near.ids.tolist()
    [7, 882]
"""
