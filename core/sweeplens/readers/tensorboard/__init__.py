"""TensorBoard: event files (`event_files`) and series that its download button wrote (`downloaded_csv`)."""
