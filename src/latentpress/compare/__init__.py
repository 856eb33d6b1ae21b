"""Compares the pictures of two folders, or two pictures: what differs, how much, and in how they were made.

Looks at files alone: it asks no ledger and no manifest, so any two folders with pictures can be compared.
"""

from latentpress.compare.folders import compare
from latentpress.compare.pair import Pair
from latentpress.compare.report import Report

__all__ = ["Pair", "Report", "compare"]
