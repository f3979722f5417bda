"""Sources: one file a platform; it reads, and its enforcer acts."""
