"""From folders to sources: `walk` lists the folders and `discover` offers each of them to the readers."""
