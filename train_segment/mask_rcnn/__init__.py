"""Training of the small Mask R-CNN, by mmdet and mmengine: torch's, where the other recipes are Keras'."""
