"""MLflow: its file store (`files`) and its SQLite store (`sqlite`)."""
