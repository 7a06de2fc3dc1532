"""The protocols of encoders: of tiles, and those that can be applied densely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import TypeIs

    from heatmaps_ome.geometry import Window


class TileEncoder(Protocol):
    """A patch encoder: one feature vector per tile, as in the training of MIL models.

    Its class may also be an `Extractor`, for which `is_dense` is true.
    """

    @property
    def name(self) -> str:
        """The name in the registry, or ``timm:NAME``, or that of a recipe's file."""
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
    def tile_px(self) -> int:
        """Side of the tiles that it was made for, in network pixels, before its own transform."""
        ...

    def unfit_side(self, side_px: int) -> str:
        """Return why it takes no tiles of a side, as the end of a sentence, or ""."""
        ...

    def tile_bytes(self, side_px: int) -> int:
        """Return the peak memory of a pass for each of its tiles, in bytes; as measured."""
        ...

    def prepare(self) -> None:
        """Build the network now instead of at the first call.

        Raises
        ------
        ExtractorError
            If the weights do not fit it.
        """
        ...

    def tiles(self, pixels: np.ndarray) -> np.ndarray:
        """Return the feature of each tile alone.

        Parameters
        ----------
        pixels : (n, side, side, 3) uint8, RGB at the working resolution
            Of a side that it takes; resized and cropped as the encoder's training did.
            A tile's feature does not depend on the others, but for the order of sums.

        Returns
        -------
        (n, channels) float32
        """
        ...


class Extractor(TileEncoder, Protocol):
    """A patch encoder applied densely too: one feature vector per cell.

    Convolutional trunks whose last map, averaged over a tile, is the tile's feature.
    """

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


def is_dense(encoder: TileEncoder) -> TypeIs[Extractor]:
    """Return whether an encoder can be applied to cells, beside tiles."""
    return hasattr(encoder, "centre_px")
