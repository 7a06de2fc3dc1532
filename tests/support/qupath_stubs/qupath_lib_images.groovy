package qupath.lib.images

/** An open slide; what kind it is may be set for colours only, as QuPath 0.6 and 0.7 have it. */
class ImageData {
    enum ImageType { BRIGHTFIELD_H_E, FLUORESCENCE, UNSET }

    Object server, hierarchy
    private ImageType type = ImageType.UNSET

    ImageType getImageType() { type }

    void setImageType(ImageType type) {
        if (type == ImageType.BRIGHTFIELD_H_E && !server.isRGB())
            throw new IllegalArgumentException('not RGB')
        this.type = type
    }
}
