"""What formats share: framings, databases, cells, values, and configurations beside a log. No file here is a format."""
