"""Trains the encoder that is shipped: a wide teacher, then a narrow student of it."""
