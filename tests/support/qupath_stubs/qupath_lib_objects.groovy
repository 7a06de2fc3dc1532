package qupath.lib.objects

class MeasurementList {
    final Map<String, Double> values = new LinkedHashMap<>()
    void put(String name, double value) { values[name] = value }
    void close() { }
    boolean containsKey(String name) { values.containsKey(name) }
}

class PathTile {
    Object ROI, pathClass
    String name
    final MeasurementList measurementList = new MeasurementList()
}

class PathAnnotation {
    Object ROI, pathClass
    String name
    boolean locked
    final MeasurementList measurementList = new MeasurementList()
}

class PathObjects {
    static PathTile createTileObject(Object roi, Object pathClass, Object measurements) {
        return new PathTile(ROI: roi, pathClass: pathClass)
    }
}
