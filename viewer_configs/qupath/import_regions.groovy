/*
 * Makes annotations of the hot and cold regions of the open slide, with their area, mean score and share of
 * the evidence as measurements (QuPath 0.5 - 0.7).
 *
 * Run it from Automate > Project scripts, or without a window: QuPath script -p project.qpproj -s
 * import_regions.groovy. Nothing needs to be edited: results are found by the name of the slide. A
 * second run replaces the regions of the first. Optional script argument: the folder of the results
 * (or <slide>.regions.geojson in it).
 *
 * In the repository, the shared part is in prelude.groovy: README.md describes how to join them.
 */
import qupath.lib.io.PathIO
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs
import qupath.lib.roi.RoiTools

/** Reads regions into the frame of the open slide. */
class RegionReader {
    private final SlideResults results
    private final int width, height

    RegionReader(SlideResults results, ImageServer slide) {
        this.results = results
        this.width = slide.getWidth()
        this.height = slide.getHeight()
    }

    /** Return whether an annotation is a region made by this script or by dropping the file on QuPath. */
    static boolean isOurs(annotation) {
        return annotation.getName() ==~ /(hot|cold) \d+/ && annotation.getMeasurementList().containsKey('share of tissue')
    }

    /** Return the regions of a file, cut to the part of the slide that QuPath shows. */
    List read(File file) {
        def found
        try {
            found = PathIO.readObjects(file)
        } catch (IOException | JsonParseException e) {
            throw new Refusal("${file} cannot be read and may be damaged: run heatmaps-ome again.")
        }
        return found.findAll { region ->
            def roi = shown(region.getROI().translate(-results.l0Left as double, -results.l0Top as double))
            if (!roi.isEmpty())
                move(region, roi)
            return !roi.isEmpty()
        }
    }

    /** Replace a region's outline and keep its measurements, which QuPath's setROI clears. */
    private static void move(Object region, Object roi) {
        def measured = new LinkedHashMap<String, Number>(region.getMeasurementList().asMap())
        region.setROI(roi)
        region.getMeasurementList().putAll(measured)
    }

    /** Return the part of an outline on the part of the slide that QuPath shows. */
    private Object shown(Object roi) {
        double left = roi.getBoundsX(), top = roi.getBoundsY()
        if (left >= 0 && top >= 0 && left + roi.getBoundsWidth() <= width && top + roi.getBoundsHeight() <= height)
            return roi
        return RoiTools.intersection(roi, ROIs.createRectangleROI(0, 0, width, height, ImagePlane.getDefaultPlane()))
    }
}

def open = new CurrentSlide(binding.hasVariable('args') && args ? args as List<String> : [])
try {
    def results = open.results()
    if (results == null)
        return
    def file = open.fileGiven() ?: results.file(results.said.regions_geojson)
    if (file == null)
        throw new Refusal("There are no regions in ${results.folder}; run heatmaps-ome with --formats regions.")
    def regions = new RegionReader(results, open.imageData.getServer()).read(file)
    def hierarchy = open.imageData.getHierarchy()
    def old = hierarchy.getAnnotationObjects().findAll { RegionReader.isOurs(it) }
    hierarchy.removeObjects(old, true)
    hierarchy.addObjects(regions)
    println "${regions.size()} regions were imported${old ? ", ${old.size()} of an earlier import were removed" : ''}."
} catch (Refusal e) {
    println e.getMessage()
    open.refuse('Regions', e)
}
