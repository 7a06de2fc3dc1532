package qupath.lib.objects

class MeasurementList {
    final Map<String, Double> values = new LinkedHashMap<>()
    void put(String name, double value) { values[name] = value }
    void close() { }
    boolean containsKey(String name) { values.containsKey(name) }
    Map<String, Number> asMap() { values }
    void putAll(Map<String, ? extends Number> others) { others.each { name, value -> put(name, value.doubleValue()) } }
    void clear() { values.clear() }
}

/** An object with an outline; as in QuPath, measurements are of the outline and go with it. */
class PathObject {
    private Object roi
    /** The object's own colour, which goes before its class's. */
    Integer color
    final MeasurementList measurementList = new MeasurementList()

    Object getROI() { roi }

    void setROI(Object roi) {
        if (!this.roi.is(roi)) {
            this.roi = roi
            measurementList.clear()
        }
    }
}

class PathTile extends PathObject {
    Object pathClass
    String name
}

class PathAnnotation extends PathObject {
    Object pathClass
    String name
    boolean locked
}

class PathObjects {
    static PathTile createTileObject(Object roi, Object pathClass, Object measurements) {
        return new PathTile(ROI: roi, pathClass: pathClass)
    }
}
