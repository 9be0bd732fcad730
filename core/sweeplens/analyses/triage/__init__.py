"""Diagnosis: runs every detector on every run, and finds what the affected runs have in common."""
