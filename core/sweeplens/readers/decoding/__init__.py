"""Decoding shared by formats: record framings, databases, cells, values, and config files. No file here is a format."""
