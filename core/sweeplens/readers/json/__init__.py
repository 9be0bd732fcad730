"""JSON that training scripts write: one step in each line, one run in each line, one file for each split, or a whole history."""
