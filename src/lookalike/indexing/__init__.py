"""From a folder to the store: find what changed, encode it, adapt the gallery, and watch for further changes."""
