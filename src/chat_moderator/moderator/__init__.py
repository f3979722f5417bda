"""The moderator: judges batches, decides, and sees to it that what was decided happens once."""
