"""Convolutions of three by three with fewer multiplications. See `striate.winograd.convolution`."""
