"""Classifiers: one file a tier, each usable alone."""
