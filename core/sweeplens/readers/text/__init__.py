"""Text logs: what programs print while they train. Cleaned lines, their shapes, the fields of a shape, axes, settings, the reader."""
