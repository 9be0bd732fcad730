"""Where the files of a store lie: `local` is a folder on a disk, `object_store` a URL of an object store.

`backend` is the protocol that both follow.
"""
