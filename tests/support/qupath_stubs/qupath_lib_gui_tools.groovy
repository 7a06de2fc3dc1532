package qupath.lib.gui.tools

import qupath.lib.color.ColorMaps

class MeasurementMapper {
    final ColorMaps.ColorMap map
    final String measurement
    double displayMinValue, displayMaxValue

    MeasurementMapper(ColorMaps.ColorMap map, String measurement, Collection objects) {
        this.map = map
        this.measurement = measurement
    }
}
