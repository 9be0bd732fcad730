"""Formats of experiment trackers that need one file each."""
