"""What is compiled: one C file, which reads step-per-line JSON at several times the speed of a general parser.

It judges nothing. Lines that are not plain numbers at a step are left to Python, and where the compiled file cannot be loaded
(it was built for another machine, or not at all) everything is read by Python, more slowly and with the same result.
"""
