"""What went wrong: every run looked at by every detector, and what the affected runs have in common."""
