package qupath.lib.io

import com.google.gson.Gson
import qupath.lib.objects.PathAnnotation
import qupath.lib.objects.classes.PathClass
import qupath.lib.roi.AreaROI

/** Reads annotations from GeoJSON, of what QuPath reads the part that our files have. */
class PathIO {
    static List readObjects(File file) throws IOException {
        def said = file.withReader('UTF-8') { new Gson().fromJson(it, Object) }
        return said.features.collect { feature ->
            assert feature.type == 'Feature' && feature.geometry.type == 'Polygon'
            def properties = feature.properties
            assert properties.objectType == 'annotation'
            def made = new PathAnnotation(
                ROI: AreaROI.ofRings(feature.geometry.coordinates), name: properties.name,
                locked: properties.isLocked == true,
                color: properties.color ? packed(properties.color) : null,
                pathClass: PathClass.fromString(properties.classification.name, packed(properties.classification.color)))
            properties.measurements.each { name, value -> made.measurementList.put(name, value as double) }
            return made
        }
    }

    private static Integer packed(List rgb) {
        def (red, green, blue) = rgb.collect { it as int }
        return (255 << 24) | (red << 16) | (green << 8) | blue
    }
}
