"""Worker processes for heavy calls, so that light calls in the server's process never wait for them.

messages            sent over the pipe: a snapshot, a job, a result
snapshot_database   a database over one snapshot
worker              the process: holds one snapshot and runs one job at a time
pool                `ProcessPool`: starts workers when needed; replaces those that crash or do not stop
"""
