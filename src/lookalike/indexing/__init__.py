"""From a folder to the store: finding what changed, encoding it, adapting to it, and watching for more."""
