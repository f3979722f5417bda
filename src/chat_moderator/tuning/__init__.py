"""Adapts the shipped classifiers to a community's own labels; numpy only."""
