"""What people take away: the model to hand on, predictions for new images, and exports."""
