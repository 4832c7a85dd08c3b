"""Models from a hub: fetched by a pinned commit, and converted from the layouts in which other tools export them."""
