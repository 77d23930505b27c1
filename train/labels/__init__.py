"""Labels for unlabelled faces: a teacher looks at several views of each, and what they agree on is the label."""

from train.extras import name_what_is_missing

name_what_is_missing(__name__, "train")
