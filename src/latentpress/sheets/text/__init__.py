"""Text of sheets: which font has which characters, how a line falls into runs of one font, how wide it is."""
