"""What the lenses of synthesis reach on trained networks, measured and shown: `make synthesis-report`."""
