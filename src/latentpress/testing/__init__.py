"""Small random checkpoints of every family, for the tests of latentpress and of what is built on it."""
