"""Training, export and evaluation of atrous's segmentation models."""
