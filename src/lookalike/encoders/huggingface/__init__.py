"""Models from a hub: fetched by a pinned commit, and converted from the layouts in which others export them."""
