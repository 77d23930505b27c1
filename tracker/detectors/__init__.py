"""Face detectors: a picture in, rough boxes and eyes out."""
