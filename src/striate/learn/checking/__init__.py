"""What is in a set of pictures, looked at before anything is trained on it: broken ones, copies, sizes, classes."""
