"""OpenAI's Batch, rendered here: a file of requests in, its output and error files out."""
