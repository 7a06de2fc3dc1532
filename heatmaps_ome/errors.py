"""Every error raised on purpose: its message says what, which file, what was found, what to do.

::

    HeatmapsError
    ├── OptionError          (ValueError)    the command line or an option's value is wrong
    ├── SlideError           (OSError)       a slide cannot be opened or read
    │   └── PixelSizeError                   a slide says nothing credible of its pixel size
    ├── ModelError           (ValueError)    a model file is not what is expected
    │   └── UnsafeModelError                 a model file holds what the safe reader refuses
    ├── ExtractorError       (ValueError)    an extractor or its weights do not fit
    ├── ScalingError         (ValueError)    a scaling file is not usable for this run
    ├── ResultError          (ValueError)    a result on disk is not what it should be
    ├── MissingError         (KeyError)      a result has no such slide, map or class
    └── OutputError          (OSError)       outputs cannot be written
"""


class HeatmapsError(Exception):
    """Base of all deliberate errors; its message is one sentence fit for a user."""


class OptionError(HeatmapsError, ValueError):
    """The command line or an option's value is wrong."""


class SlideError(HeatmapsError, OSError):
    """A slide cannot be opened or read."""


class PixelSizeError(SlideError):
    """A slide says nothing credible of its pixel size."""


class ModelError(HeatmapsError, ValueError):
    """A model file is not what is expected."""


class UnsafeModelError(ModelError):
    """A model file holds what the safe reader refuses to interpret."""


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


class OutputError(HeatmapsError, OSError):
    """Outputs cannot be written."""
