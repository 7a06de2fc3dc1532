"""Errors raised on purpose. A message states the problem, the file, the value found, the remedy.

::

    HeatmapsError
    ├── OptionError          (ValueError)    the command line or an option's value is wrong
    ├── SlideError           (OSError)       a slide cannot be opened or read
    │   ├── PixelSizeError                   a slide gives no credible pixel size
    │   └── DamagedTileError                 a tile of a slide cannot be read
    ├── ModelError           (ValueError)    a model file is not of the expected kind
    │   └── UnsafeModelError                 a model file holds objects the safe reader refuses
    ├── FeaturesError        (ValueError)    a file of tiles (features, scores) is not usable
    ├── ExtractorError       (ValueError)    an extractor or its weights do not fit
    ├── ScalingError         (ValueError)    a scaling file is not usable for this run
    ├── ResultError          (ValueError)    a result on disk is not what it should be
    ├── MissingError         (KeyError)      a result has no such slide, map or class
    ├── OutputError          (OSError)       outputs cannot be written
    ├── RemoteError          (OSError)       object storage or a server cannot be read or written
    └── WorkersError         (OSError)       processes that share a run cannot be had, or are lost
"""


class HeatmapsError(Exception):
    """Base of all deliberate errors; its message is one sentence fit for a user."""


class OptionError(HeatmapsError, ValueError):
    """The command line or an option's value is wrong."""


class SlideError(HeatmapsError, OSError):
    """A slide cannot be opened or read."""


class PixelSizeError(SlideError):
    """A slide gives no credible pixel size."""


class DamagedTileError(SlideError):
    """A tile of a slide cannot be read; others may be."""


class ModelError(HeatmapsError, ValueError):
    """A model file is not of the expected kind."""


class UnsafeModelError(ModelError):
    """A model file holds objects that the safe reader refuses to interpret."""


class FeaturesError(HeatmapsError, ValueError):
    """A file of tiles, with features or scores, is not usable for its slide."""


class ExtractorError(HeatmapsError, ValueError):
    """An extractor or its weights do not fit."""


class ScalingError(HeatmapsError, ValueError):
    """A scaling file is not usable for this run."""


class ResultError(HeatmapsError, ValueError):
    """A result on disk is not what it should be."""


class MissingError(HeatmapsError, KeyError):
    """A result has no such slide, map or class."""

    # KeyError's own would put the sentence in quotes.
    __str__ = Exception.__str__


class RemoteError(HeatmapsError, OSError):
    """Object storage or a server cannot be read or written."""


class OutputError(HeatmapsError, OSError):
    """Outputs cannot be written."""


class WorkersError(HeatmapsError, OSError):
    """The processes that a run is shared between cannot be had, or are lost."""
