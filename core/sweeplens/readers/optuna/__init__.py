"""Optuna: its SQLite storage (`sqlite`) and its journal (`journal`)."""
