"""What a model and the tracker are worth, on labelled stills and labelled videos."""
