"""Kernels learned without labels: k-means on whitened patches of pictures, and the network of one layer on them.

Source: Coates, Lee and Ng 2011, "An analysis of single-layer networks in unsupervised feature learning".
"""

from __future__ import annotations

from striate.kernels.learned.learning import LearnedKernels, learn_kernels
from striate.kernels.learned.single_layer import SingleLayer, single_layer

__all__ = ["LearnedKernels", "SingleLayer", "learn_kernels", "single_layer"]
