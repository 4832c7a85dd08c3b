"""Files in, pixels out: every limit and danger of picture files is dealt with in this package.

`walk` finds the files, `decode` turns one into pixels, `reader` does that for many in other processes,
`montage` draws pictures side by side. `decode` and `walk` import nothing but Pillow and the standard
library, so that a worker process starts quickly and stays small.
"""
