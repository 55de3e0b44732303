"""Training: the loop of all three networks, resuming, several devices, augmentation."""
