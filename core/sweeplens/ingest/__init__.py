"""From sources to the store: `refresh` finds changes, `read` reads them, `prefetch` runs the reading in a few threads."""
