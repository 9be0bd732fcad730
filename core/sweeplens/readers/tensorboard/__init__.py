"""Reads TensorBoard event files (`event_files`) and series saved with its download button (`downloaded_csv`)."""
