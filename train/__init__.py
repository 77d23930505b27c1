"""Training of the landmark models, with PyTorch Lightning."""
