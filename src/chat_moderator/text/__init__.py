"""Text: pure functions from what was written to what can be compared, with offsets kept."""
