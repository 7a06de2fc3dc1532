package qupath.lib.gui.viewer.overlays

import java.util.function.Function

class AbstractOverlay {
    interface LocationStringFunction { String getLocationString(Object data, double x, double y, int z, int t) }

    double opacity = 1
    LocationStringFunction locationStringFunction
}

class PixelClassificationOverlay extends AbstractOverlay {
    Function servers
    Object renderer
    boolean livePrediction, stopped

    static PixelClassificationOverlay create(Object options, Function servers, Object renderer) {
        return new PixelClassificationOverlay(servers: servers, renderer: renderer)
    }

    void stop() { stopped = true }
}
