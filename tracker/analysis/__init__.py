"""What follows from landmarks: head pose, openings of eyes and mouth, blinks, PERCLOS."""
