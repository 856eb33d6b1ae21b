"""A sheet as LaTeX: its text, the blocks that it falls into, its figures, the table of its settings."""
