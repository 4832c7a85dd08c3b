"""From files to pixels: every limit and danger of picture files is dealt with in this package.

`walk` finds the files and `ignore` reads what people leave out. `decode` turns a file into pixels or into the reason
why not, one of those in `unreadable`; `integrity` checks that nothing of it is missing, `exif` reads when and with
which camera it was taken. `pool` decodes many files in processes that run `worker`. `augment` alters pictures, `paths`
writes paths for people and for programs. A worker imports nothing but Pillow and the standard library, so that it
starts quickly and stays small.
"""
