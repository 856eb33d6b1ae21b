"""A person's own losses: their code found and hashed, their parameters read, all without running it; and running it."""
