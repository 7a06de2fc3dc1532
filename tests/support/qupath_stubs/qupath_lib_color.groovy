package qupath.lib.color

import java.awt.image.ColorModel
import java.awt.image.DataBuffer
import java.awt.image.Raster
import java.util.function.DoubleToIntFunction
import qupath.lib.images.servers.PixelType

class ColorMaps {
    interface ColorMap { Integer getColor(double value, double lower, double upper) }

    static ColorMap createColorMap(String name, int[] r, int[] g, int[] b) {
        assert r.length > 1 && r.length == g.length && g.length == b.length
        return { double value, double lower, double upper ->
            double place = Math.max(0d, Math.min(1d, (value - lower) / (upper - lower)))
            int i = (int) Math.round(place * (r.length - 1))
            return (255 << 24) | (r[i] << 16) | (g[i] << 8) | b[i]
        } as ColorMap
    }
}

/** As QuPath's for float pixels: colours by band 0 whatever band is asked for. */
class ColorMapModel extends ColorModel {
    final ColorMaps.ColorMap map
    final double lower, upper
    final int alphaBand
    final DoubleToIntFunction opacity

    ColorMapModel(ColorMaps.ColorMap map, double lower, double upper, int alphaBand, DoubleToIntFunction opacity) {
        super(32 * (alphaBand + 1))
        this.map = map
        this.lower = lower
        this.upper = upper
        this.alphaBand = alphaBand
        this.opacity = opacity
    }

    @Override int getRed(int pixel) { 0 }
    @Override int getGreen(int pixel) { 0 }
    @Override int getBlue(int pixel) { 0 }
    @Override int getAlpha(int pixel) { 255 }
    @Override boolean isCompatibleRaster(Raster raster) { raster.getTransferType() == DataBuffer.TYPE_FLOAT }

    int argb(float[] pixel) {
        return (opacity.applyAsInt(pixel[alphaBand]) << 24) | (map.getColor(pixel[0], lower, upper) & 0xffffff)
    }
}

class ColorModelFactory {
    static ColorModel createColorModel(PixelType type, ColorMaps.ColorMap map, int band, double lower, double upper,
                                       int alphaBand, DoubleToIntFunction opacity) {
        assert type == PixelType.FLOAT32 && band == 0
        return new ColorMapModel(map, lower, upper, alphaBand, opacity)
    }
}
