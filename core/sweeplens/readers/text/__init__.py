"""Reads text logs, the printed output of training programs: lines, shapes, fields, axes, settings and the reader."""
