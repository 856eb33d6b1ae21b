"""Sheets: pictures of a matrix, laid out with labels and painted. Knows cells, and no ledger, manifest or engine."""
