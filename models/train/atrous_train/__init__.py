"""Training, export and evaluation of the road-scene segmentation model."""
