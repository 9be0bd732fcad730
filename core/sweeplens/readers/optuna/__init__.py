"""Reads Optuna's SQLite storage (`sqlite`) and its journal (`journal`)."""
