"""Whether a folder is what its ledger says, and making that true again."""
