"""An answer of the library as text and as structured content, within the budget of bytes."""
