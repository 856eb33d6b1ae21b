"""What an output folder remembers: the ledger, its lock, and who owns which name."""
