"""Tables of metrics that no known tool has written."""
