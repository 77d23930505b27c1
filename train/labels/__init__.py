"""Labels for unlabelled faces: a teacher looks at several views of each, and what they agree on is the label."""
