"""Weights & Biases: run folders with their record file (`run_file`) and without it (`summary`)."""
