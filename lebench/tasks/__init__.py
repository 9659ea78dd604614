"""Tasks: standardized questions."""
