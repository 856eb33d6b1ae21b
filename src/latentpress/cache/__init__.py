"""The program's cache folder: where it is. What lies in it can be made again."""
