"""Read-only SQL with limits.

validate   checks the text of a query before it runs
query      runs a query with its tables and limits
process    manages the child processes
sandbox    the program of a child process
"""
