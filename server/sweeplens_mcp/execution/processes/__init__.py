"""Heavy work in processes of its own, so that light calls, which share one interpreter and one pool of Polars, never wait for it.

jobs.py      what goes over the pipe: a snapshot to hold, a question, the answer
fixed.py     the database of a snapshot
child.py     the process: holds one snapshot, answers one question at a time
workers.py   Workers: a few such processes, started when needed, ended and replaced when they crash or will not stop
"""
