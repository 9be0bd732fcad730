"""Read-only SQL within bounds.

validate   the text of a query, before anything runs
query      the tables of a query, its bounds and its answer
process    keeps the child process and talks to it
sandbox    the program of that process
"""
