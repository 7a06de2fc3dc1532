package qupath.lib.regions

import groovy.transform.Canonical

@Canonical
class ImageRegion {
    int x, y, width, height, z, t
    static ImageRegion createInstance(int x, int y, int width, int height, int z, int t) {
        assert width > 0 && height > 0
        return new ImageRegion(x, y, width, height, z, t)
    }
}

class ImagePlane {
    static ImagePlane getDefaultPlane() { new ImagePlane() }
}
