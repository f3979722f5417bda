"""Actions: what is done about a decided message."""
