"""Read-only SQL with limits.

statements    the statements of one text
validate      checks a statement before it runs
query         runs statements with their tables and limits
empty_result  says which condition leaves no row
beside        tables of files beside the runs (file_list, file_kinds, file_tables), and their line in the overview (beside_summary)
pool          keeps child processes for the next query
process       one child process, and the messages to and from it
sandbox       the program of a child process
"""
