package qupath.lib.color

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
