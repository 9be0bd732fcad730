"""What is compiled: readers of step-per-line JSON and of text logs, and trees.

The readers parse what is regular, several times faster than Python, which reads everything else. If the compiled file cannot be
loaded (it was built for another machine, or not at all), Python and numpy do all of it, more slowly and with the same result.
"""
