/*
 * Makes tiles of the cells of the open slide's heatmaps, with attention, scores and contributions as
 * measurements, and colours them by one of these (QuPath 0.5 - 0.7).
 *
 * Run it from Automate > Project scripts, or without a window: QuPath script -p project.qpproj -s
 * import_tiles.groovy. Nothing needs to be edited: results are found by the name of the slide. A
 * second run replaces the tiles of the first. Optional script arguments: the folder of the results
 * (or <slide>.cells.csv or .geojson in it), and the measurement to colour by ("score: MSIH").
 *
 * In the repository, the shared part is in prelude.groovy: README.md describes how to join them.
 */
import javafx.application.Platform
import qupath.lib.gui.tools.MeasurementMapper
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

/** Reads rows of a CSV file (RFC 4180): fields in quotes may hold commas, quotes and line breaks. */
@CompileStatic
class CsvRows {
    private static final int COMMA = 44, QUOTE = 34, LF = 10, CR = 13
    private final Reader reader
    private int next

    CsvRows(Reader reader) {
        this.reader = reader
        this.next = reader.read()
    }

    /** Return the fields of the next row, or null at the end. */
    List<String> row() {
        if (next < 0)
            return null
        List<String> fields = []
        while (true) {
            fields << field()
            if (next != COMMA)
                break
            next = reader.read()
        }
        if (next == CR)
            next = reader.read()
        if (next == LF)
            next = reader.read()
        return fields
    }

    private String field() {
        StringBuilder text = new StringBuilder()
        if (next != QUOTE) {
            while (next >= 0 && next != COMMA && next != LF && next != CR) {
                text.append((char) next)
                next = reader.read()
            }
            return text.toString()
        }
        next = reader.read()
        while (next >= 0) {
            if (next == QUOTE) {
                next = reader.read()
                if (next != QUOTE)
                    break
            }
            text.append((char) next)
            next = reader.read()
        }
        return text.toString()
    }
}

/** Makes tiles of cells, in the frame of the open slide. */
class TileMaker {
    /** Name of the tiles that this script makes. */
    static final String NAME = 'heatmaps-ome cell'
    private final SlideResults results
    private final int width, height
    private final Map<String, PathClass> classes = [:]
    final List tiles = []

    TileMaker(SlideResults results, ImageServer slide) {
        this.results = results
        this.width = slide.getWidth()
        this.height = slide.getHeight()
        results.said.class_colours.each { name, colour ->
            def rgb = (255 << 24) | Integer.parseInt((colour as String).substring(1), 16)
            classes[name] = PathClass.fromString(qupathClass(name), rgb)
        }
    }

    /** Return a class's name that QuPath accepts: on one line, and not derived from another class. */
    static String qupathClass(String name) {
        return name.replaceAll(/[\r\n]+/, ' ').replace(':', '\u2236').trim() ?: 'class'
    }

    private PathClass classOf(String name) { return classes[name] ?: PathClass.fromString(qupathClass(name)) }

    /** Add a cell, a rectangle in level-0 pixels of the whole slide, cut to the part that QuPath shows. */
    void add(double x, double y, double wide, double high, String className, Map<String, Double> values) {
        double left = Math.max(0d, x - results.l0Left), right = Math.min(width, x + wide - results.l0Left)
        double top = Math.max(0d, y - results.l0Top), bottom = Math.min(height, y + high - results.l0Top)
        if (right <= left || bottom <= top)
            return
        def roi = ROIs.createRectangleROI(left, top, right - left, bottom - top, ImagePlane.getDefaultPlane())
        def tile = PathObjects.createTileObject(roi, className ? classOf(className) : null, null)
        def measured = tile.getMeasurementList()
        values.each { name, value -> measured.put(name, value) }
        measured.close()
        tile.setName(NAME)
        tiles << tile
    }

    void addCsv(File file) {
        file.withReader('UTF-8') { reader ->
            def rows = new CsvRows(reader)
            def header = rows.row()
            if (header == null || header.take(5) != ['x', 'y', 'width', 'height', 'class'])
                throw new Refusal("${file} is no table of cells of heatmaps-ome.")
            List<String> row
            while ((row = rows.row()) != null) {
                if (row.size() != header.size())
                    throw new Refusal("${file} is damaged: a row has ${row.size()} fields, not ${header.size()}.")
                def values = [:]
                for (int i = 5; i < row.size(); i++)
                    if (row[i] && header[i] != 'artefact')     // the one word among the numbers
                        values[header[i]] = Double.parseDouble(row[i])
                // a prefix keeps spreadsheets from taking a name for a formula
                def name = row[4].startsWith("'") ? row[4].substring(1) : row[4]
                add(row[0] as double, row[1] as double, row[2] as double, row[3] as double, name, values)
            }
        }
    }

    void addGeoJson(File file) {
        SlideResults.json(file).features.each { feature ->
            def ring = feature.geometry.coordinates[0]
            def xs = ring.collect { it[0] as double }, ys = ring.collect { it[1] as double }
            def said = feature.properties
            def values = said.measurements.collectEntries { name, value -> [(name): value as double] }
            add(xs.min(), ys.min(), xs.max() - xs.min(), ys.max() - ys.min(), said.classification?.name, values)
        }
    }
}

def open = new CurrentSlide(binding.hasVariable('args') && args ? args as List<String> : [])
try {
    def results = open.results()
    if (results == null)
        return
    def file = open.fileGiven() ?: results.file(results.said.cells) ?: results.file(results.said.cells_geojson)
    if (file == null)
        throw new Refusal("There are no cells in ${results.folder}; run heatmaps-ome with --formats cells.")
    def maps = results.said.maps.findAll { it.measurement }
    def shown = null
    if (open.given.size() > 1)
        shown = results.map(maps, open.given[1])
    else if (open.viewer != null && maps) {
        def titles = maps.collect { it.title as String }
        def title = Dialogs.showChoiceDialog('Tiles', 'Colour tiles by', titles, titles[0])
        if (title == null)
            return
        shown = results.map(maps, title)
    }
    def maker = new TileMaker(results, open.imageData.getServer())
    if (file.getName().endsWith('.csv'))
        maker.addCsv(file)
    else
        maker.addGeoJson(file)
    def hierarchy = open.imageData.getHierarchy()
    def old = hierarchy.getTileObjects().findAll { it.getName() == TileMaker.NAME }
    hierarchy.removeObjects(old, true)
    hierarchy.addObjects(maker.tiles)
    if (open.viewer != null && shown != null) {
        def mapper = new MeasurementMapper(SlideResults.colourMap(shown), shown.measurement, maker.tiles)
        // the measurement is the raw value, the range is of drawn ones
        mapper.setDisplayMinValue((shown.range.lower as double) / (shown.factor as double))
        mapper.setDisplayMaxValue((shown.range.upper as double) / (shown.factor as double))
        Platform.runLater {
            def options = open.viewer.getOverlayOptions()
            options.setShowDetections(true)
            options.setFillDetections(true)
            options.setMeasurementMapper(mapper)
            open.viewer.repaint()
        }
    }
    println "${maker.tiles.size()} tiles were imported${old ? ", ${old.size()} of an earlier import were removed" : ''}."
} catch (Refusal e) {
    println e.getMessage()
    open.refuse('Tiles', e)
}
