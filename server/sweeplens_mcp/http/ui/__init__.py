"""The experiments in a browser, at `/ui`: the report, a table of runs, a page of each run, and comparisons of two.

browser_checks   middleware: the Host and Origin of a browser's requests, and the token in its cookie
login            the form for a token
ui_caller        questions to the tools, with their queues and shares
sections         answers as sections of a page
pages            the pages
events           server-sent events when data change
site             templates, headers and files
routes           `add_ui`
"""
