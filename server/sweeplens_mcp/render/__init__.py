"""Renders an answer of the library as text and as structured content, within a number of bytes."""
