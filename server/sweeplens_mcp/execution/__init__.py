"""Runs tool calls: from the arguments to the page of an answer.

tool_call     one call: arguments, database, answer, page
worker_pool   bounded workers and a bounded queue
processes     worker processes for heavy calls
state         the database that is shared by all calls
cursors       cursors for the next page of an answer
"""
