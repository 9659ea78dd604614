"""Models: anything that can be fitted to a split."""
