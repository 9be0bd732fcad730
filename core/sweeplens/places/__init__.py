"""Roots that are not folders: archives, object stores, file systems of other machines, MLflow servers.

Each place is copied into a private folder on this machine, its mirror, which the ordinary walk reads (`mirror`). So no
reader knows of places. docs/decisions/0007-mirrors-of-other-places.md says why.
"""
