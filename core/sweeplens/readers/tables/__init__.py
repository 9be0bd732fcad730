"""Reads tables of metrics from no particular tool."""
