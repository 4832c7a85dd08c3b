"""Files in, pixels out: every limit and danger of picture files is dealt with in this package.

`walk` finds the files, `decode` turns one into pixels or into one of the `reasons` why not, `whole` sees that
nothing of it is missing, `reader` does that for many in processes that run `worker`, `montage` draws pictures side
by side. What a worker runs imports nothing but Pillow and the standard library, so that it starts quickly and stays
small.
"""
