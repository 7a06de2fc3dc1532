"""The OME standards: OME-Zarr, OME-XML and pyramidal TIFF; knows nothing of heatmaps."""
