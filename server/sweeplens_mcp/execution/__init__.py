"""From a tool's arguments to its answer: the call, the workers that run it, the database, and cursors.

tool_call     one call: arguments, database, answer, page
worker_pool   bounded workers and a bounded queue
processes     worker processes for heavy calls
state         the database that is shared by all calls
cursors       where a cut answer goes on
"""
