"""What the platforms hold under load and after outages: each figure is found by a function that a benchmark prints."""
