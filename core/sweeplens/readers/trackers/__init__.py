"""Reads formats of experiment trackers, one file for each."""
