"""What 300W is (Sagonas et al., ICCVW 2013): the folders of NAME.jpg beside NAME.pts that its sets consist of."""

from __future__ import annotations

TRAINING = ("afw", "helen/trainset", "lfpw/trainset")
COMMON = ("helen/testset", "lfpw/testset")
CHALLENGING = ("ibug",)
