"""Formats that training libraries write: one file each."""
