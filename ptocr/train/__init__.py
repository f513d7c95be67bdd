"""Fine-tuning and training: data, losses, metrics, the loop. Inference imports nothing of it."""
