"""The built-in losses, one in each file, from its formula to its entry in the table of `guidance`."""
