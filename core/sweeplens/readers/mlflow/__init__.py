"""Reads MLflow's file store (`files`) and its SQLite store (`sqlite`)."""
