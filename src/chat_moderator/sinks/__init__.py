"""Sinks: what is told of every decided message."""
