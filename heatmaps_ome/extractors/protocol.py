"""The extractor protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from heatmaps_ome.geometry import Window


class Extractor(Protocol):
    """A patch encoder applied densely: one feature vector per cell.

    Convolutional trunks give their last map; tile encoders give one vector per overlapping
    tile. The pipeline sees no difference: both map pixels to cells at a stride.
    """

    @property
    def name(self) -> str:
        """The name in the registry."""
        ...

    @property
    def digest(self) -> str:
        """Sha256 of the weights and all else that changes the features (precision too)."""
        ...

    @property
    def precision(self) -> str:
        """The number type it computes in: "float32" or "bfloat16"."""
        ...

    @property
    def weights_digest(self) -> str:
        """Sha256 of the weights' file."""
        ...

    @property
    def channels(self) -> int:
        """Length of a feature vector."""
        ...

    @property
    def stride_px(self) -> int:
        """Network pixels per cell."""
        ...

    @property
    def halo_px(self) -> int:
        """Margin, a multiple of the stride, beyond which pixels do not reach a cell."""
        ...

    @property
    def bytes_per_px(self) -> int:
        """Peak memory of a pass, per network pixel; as measured."""
        ...

    @property
    def centre_px(self) -> float:
        """Where cell 0's receptive field is centred; network pixels from the image's corner."""
        ...

    def prepare(self) -> None:
        """Build the network now instead of at the first call.

        Raises
        ------
        ExtractorError
            If the weights do not fit it.
        """
        ...

    def __call__(self, pixels: np.ndarray, keep: Window | None = None) -> np.ndarray:
        """Return the features of an image.

        Parameters
        ----------
        pixels : (rows, cols, 3) uint8, RGB at the working resolution
        keep : Window or None
            The cells that are needed, among the ceil(rows / stride) × ceil(cols / stride) of the
            image; None for all. Values that none of these cells depends on may be left out.

        Returns
        -------
        (channels, keep.rows, keep.cols) float32 or float16
            float16 if the precision is no finer.
        """
        ...

    def tiles(self, pixels: np.ndarray) -> np.ndarray:
        """Return the feature of each tile alone, as in the training of MIL models.

        Parameters
        ----------
        pixels : (n, side, side, 3) uint8, RGB at the working resolution
            The side is a whole number of cells, 7 of them in the training of most models. A
            tile's feature does not depend on the others, but for the order of sums.

        Returns
        -------
        (n, channels) float32
        """
        ...
