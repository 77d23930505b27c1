"""What a face is: the vocabulary that tracker, train and export share. NumPy only (OpenCV in crop.py)."""
