"""Delimited text, the one way in which every CSV and TSV format is read.

cells    the grammar: header, rows, cells
chunks   one chunk of rows as a frame
plan     what the columns of an unknown table are for
table    a whole file as points
"""
