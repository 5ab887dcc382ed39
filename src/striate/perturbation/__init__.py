"""What several lenses mask pictures with: patches and masks, the scores of all of them, exact and fast."""
