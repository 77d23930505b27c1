"""What a loss compares a net's maps with, drawn from the labels."""
