"""How far a plan has come, and how that is told."""
