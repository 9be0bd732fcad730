"""Read-only SQL: `validate` checks the text, `query` runs it within bounds, `sandbox` is the process that it runs in."""
