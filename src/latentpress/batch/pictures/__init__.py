"""The PNG files of an output folder: their text, and whether they are whole."""
