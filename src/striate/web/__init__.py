"""The microscope: a page in the browser on one's own network, and the interface under it. Computes nothing itself."""
