"""Training: configuration, augmentation, batches, optimisers, checkpoints, the loop."""
