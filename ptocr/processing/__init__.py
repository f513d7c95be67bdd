"""Pictures to network inputs and network outputs to polygons: numpy, OpenCV and pyclipper, no torch.

Images are BGR uint8 arrays (H, W, 3) everywhere; points are (x, y) in pixels.
"""
