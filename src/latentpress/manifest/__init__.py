"""From a manifest's text to checked values with their places. Never reaches the ledger or an engine."""
