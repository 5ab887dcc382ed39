"""A fresh network for a set of pictures: what a name stands for, its size, its head, its first weights."""
