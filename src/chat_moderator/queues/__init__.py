"""Queues: one file a queue; each holds messages between the intake and the worker."""
