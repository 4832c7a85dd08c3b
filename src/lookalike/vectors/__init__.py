"""Nearest neighbours on this machine, with numpy and faiss alone: no database, no files of pictures, no encoders.

`metric` defines the distances, `exact` ranks every vector, `ivf` builds and reads inverted lists, `searcher` chooses
between them, `mapped` keeps arrays in files that are mapped and whose damage is found before it can change an answer.
"""
