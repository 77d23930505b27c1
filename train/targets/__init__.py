"""What is learned towards, made from labels: distributions, heatmaps, point and edge maps. train.losses compares."""
