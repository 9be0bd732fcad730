"""Reads formats of training libraries, one file for each."""
