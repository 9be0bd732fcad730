"""JSON that training scripts write: a step a line, a run a line, a file a split, a whole history."""
