"""Requests for OpenAI's image endpoints, as a Batch file holds them, read as jobs. Knows nothing of what answers them."""
