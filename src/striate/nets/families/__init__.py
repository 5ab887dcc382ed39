"""The networks of the lectures, a file a family. A file here with a tuple `DESIGNS` needs no edit anywhere else."""
