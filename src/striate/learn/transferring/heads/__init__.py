"""Heads fitted on features by scikit-learn: a file each, with a `RULE`; and fitting one of them by name.

A file here and, where its module is new, one in `striate.nets.heads` add a head; nothing else names them.
"""

from __future__ import annotations

from striate.learn.transferring.heads.fitting import HEADS, FittedHead, fit_head

__all__ = ["HEADS", "FittedHead", "fit_head"]
