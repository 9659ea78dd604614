"""Backends: one framework each, behind one protocol."""
