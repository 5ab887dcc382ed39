"""What a trained network says of every picture, and what its units learned over the epochs. Trains nothing."""
