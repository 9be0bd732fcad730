"""Read-only SQL with limits.

statements         the statements of one text
validate           checks a statement before it runs
query              runs statements with their tables and limits
empty_result       says which condition leaves no row
auxiliary_files    tables of files beside the runs (file_list, file_kinds, file_tables)
auxiliary_summary  one line of the overview about these files
pool               keeps child processes for the next query
process            one child process, and the messages to and from it
sandbox            the program of a child process
"""
