"""What was learned on other pictures, used for these: heads on features, and fine-tuning in stages."""
