"""The decoder's gradient on an engine: the layers' forward and backward passes, and the two graphs made of them."""
