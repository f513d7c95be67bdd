"""Reading pages from anything a user has, and drawing results: numpy, OpenCV, Pillow and pypdfium2; no torch."""
