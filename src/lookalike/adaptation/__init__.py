"""From embeddings to the vectors that one gallery compares, with numpy alone.

`plan` says what is fitted, `projection` centres and rotates, `expansion` smooths with nearest neighbours, `lda` learns
from labels, `serialize` turns all of it into bytes and back.
"""
