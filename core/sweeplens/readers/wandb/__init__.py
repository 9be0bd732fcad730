"""Reads Weights & Biases run directories, with their record file (`run_file`) or without it (`summary`)."""
