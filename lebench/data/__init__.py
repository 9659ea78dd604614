"""Datasets: named arrays with provenance, splits and variants."""
