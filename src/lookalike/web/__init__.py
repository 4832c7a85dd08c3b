"""The page and the HTTP API of one gallery: `lookalike serve`."""
