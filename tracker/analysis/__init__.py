"""What is computed from landmarks: head pose, openings of eyes and mouth, blinks, PERCLOS, blend shapes."""
