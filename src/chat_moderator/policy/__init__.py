"""Policy: from scores to a decision, pure."""
