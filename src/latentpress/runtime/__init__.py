"""The runtime: a bundle and render requests in, uint8 pictures out. Imports neither `export` nor `batch`."""
