"""Pictures for training: which ones, how they are kept and varied, and their way into a step. Trains nothing."""
