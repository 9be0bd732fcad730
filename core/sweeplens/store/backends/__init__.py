"""Storage for a store's files: `local` is a folder on a disk, `object_store` a URL of an object store.

`backend` is the protocol of both.
"""
