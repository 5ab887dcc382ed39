"""What a network can do whose filters nobody trained: random ones, ones learned without labels, ones set by hand."""
