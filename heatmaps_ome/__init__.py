"""Viewer-ready heatmaps of attention-MIL models on whole-slide images."""

import os

__all__ = ["__version__"]

__version__ = "0.1.0"

# torch asks for it when it is loaded. Activations then lie in huge pages where Linux lends them on
# request, which spares a ResNet-50 on a CPU a twentieth of its time.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
# oneDNN keeps compiled layers for each shape of image, of which a slide's blocks have many: 1.5 MiB
# each time. So many are those of two shapes; compiling one's anew takes a tenth of a second.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
