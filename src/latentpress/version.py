"""The version of latentpress: what the package is built with, and what ledgers and bundles say."""

__version__ = "0.1.0"
