"""What a face is: the types and functions that tracker, train and export share. NumPy only; crop.py needs OpenCV."""
