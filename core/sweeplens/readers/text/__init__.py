"""Text logs: what programs print while they train. Lines, their shapes and fields, axes, settings, the reader."""
