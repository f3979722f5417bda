"""Contract checks, a clock of one's own and factories, for the authors of plugins too."""
