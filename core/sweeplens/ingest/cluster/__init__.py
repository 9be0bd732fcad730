"""Reads logs on the executors of a Spark cluster, and commits once from this process.

parts       sources in parts of some megabytes, and what comes back for each: what a task takes and returns
executor    the work of one task: reads a part, writes its points as files of the store, returns everything else
shipping    how the code of this package reaches the executors
reading     the jobs: which parts are read, which files are written again because ids of runs collide
load        plan, read, apply, commit, remove leftovers
"""
