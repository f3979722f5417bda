"""How fast it is here: one command, the peer measured in the same run."""
