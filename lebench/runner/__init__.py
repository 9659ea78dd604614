"""Running: plan, worker processes, records."""
