"""Sources to the store: `refresh` finds what changed, `read` reads it, `prefetch` runs the reading in a few threads."""
