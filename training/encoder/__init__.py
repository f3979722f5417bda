"""Trains the encoder that is shipped: a slow teacher reads English; the small network learns from it and the labels."""
