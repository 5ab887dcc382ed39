"""The lenses over every family of convnets: `python -m reach` runs all and writes docs/reach.md."""
