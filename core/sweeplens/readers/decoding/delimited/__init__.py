"""Reads delimited text: all CSV and TSV formats use this package.

cells    the grammar of headers, rows and cells
chunks   one chunk of rows -> a frame
plan     the roles of the columns of an unknown table
table    a whole file -> points
"""
