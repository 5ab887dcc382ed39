"""The errors whose text is for users. Knows nothing of networks or pictures.

StriateError
 ├─ AddressError        a layer, channel, unit or class that the network does not have
 ├─ AtlasError          an atlas that cannot be opened, built or extended, or is of another network
 ├─ DataError           a set of pictures that cannot be opened, or is not what a job needs
 ├─ ImageError          a picture that cannot be read, or is not what the network takes
 ├─ NetworkError        a network that cannot be loaded, saved or run
 ├─ RuleError           a backward rule that this network cannot follow
 ├─ OptionError         an option outside what a lens accepts
 ├─ MissingExtraError   a library that is an extra, and is not installed
 ├─ OutputError         a result that cannot be written
 ├─ TrainingError       a training that cannot be begun, gone on with or opened, or that went wrong
 └─ Stopped             the user asked a long job to stop

The command line prints such a text after ``error:`` and exits; anything else that escapes is a bug.
"""

from __future__ import annotations

__all__ = [
    "AddressError",
    "AtlasError",
    "DataError",
    "ImageError",
    "MissingExtraError",
    "NetworkError",
    "OptionError",
    "OutputError",
    "RuleError",
    "Stopped",
    "StriateError",
    "TrainingError",
]


class StriateError(Exception):
    """Base of all errors that say what was wrong, with what, and what to do."""


class AddressError(StriateError, LookupError):
    """A layer, channel, unit or class that the network does not have."""


class AtlasError(StriateError, ValueError):
    """An atlas that cannot be opened, built or extended, or is of another network."""


class DataError(StriateError, ValueError):
    """A set of pictures that cannot be opened, or is not what a job needs."""


class ImageError(StriateError, ValueError):
    """A picture that cannot be read, or is not what the network takes."""


class NetworkError(StriateError, ValueError):
    """A network that cannot be loaded, saved or run."""


class RuleError(StriateError, ValueError):
    """A backward rule that this network cannot follow."""


class OptionError(StriateError, ValueError):
    """An option outside what a lens accepts."""


class MissingExtraError(StriateError, ImportError):
    """A library that comes with an extra, and is not installed."""


class OutputError(StriateError, OSError):
    """A result that cannot be written; what was there before is untouched."""


class Stopped(StriateError):
    """The user asked a long job to stop; what was finished before is kept."""


class TrainingError(StriateError, ValueError):
    """A training that cannot be begun, gone on with or opened, or that went wrong."""
