/*
 * Makes tiles of the cells of the open slide's heatmaps, with attention, scores and contributions as
 * measurements, and colours them by one of these (QuPath 0.5 - 0.7).
 *
 * Run it from Automate > Project scripts, or without a window: QuPath script -p project.qpproj -s
 * import_tiles.groovy. Nothing needs to be edited: results are found by the name of the slide. A
 * second run replaces the tiles of the first. Optional script arguments: the folder of the results
 * (or <slide>.cells.csv or .geojson in it), and the measurement to colour by ("score: MSIH").
 */
import com.google.gson.Gson
import com.google.gson.JsonParseException
import groovy.transform.CompileStatic
import javafx.application.Platform
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.lib.color.ColorMaps
import qupath.lib.gui.scripting.QPEx
import qupath.lib.gui.tools.MeasurementMapper
import qupath.lib.images.servers.ImageServer
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

// begin of what all scripts share; tests hold the copies equal
/** Why something cannot be done, in one sentence for the user. */
class Refusal extends RuntimeException {
    Refusal(String sentence) { super(sentence) }
}

/** The results of the open slide: what maps.json says, and the files beside it. */
class SlideResults {
    final File folder
    Map said
    /** What QuPath's (0, 0) is in level-0 pixels of the whole slide: QuPath may crop to the bounds. */
    int l0Left, l0Top

    SlideResults(File manifest, ImageServer slide) {
        folder = manifest.getParentFile()
        try {
            said = (Map) json(manifest)
        } catch (IOException | JsonParseException | ClassCastException e) {
            throw new Refusal("${manifest} cannot be read and may be damaged: run heatmaps-ome again.")
        }
        if (!(said.format as String)?.startsWith('heatmaps-ome maps'))
            throw new Refusal("${manifest} was not written by heatmaps-ome.")
        int width = slide.getWidth(), height = slide.getHeight()
        int cols = said.slide.cols, rows = said.slide.rows
        def bounds = said.slide.bounds
        if (width == cols && height == rows) {
            l0Left = 0
            l0Top = 0
        } else if (width == bounds.cols && height == bounds.rows) {
            l0Left = bounds.col as int
            l0Top = bounds.row as int
        } else {
            throw new Refusal("The results in ${folder} are of a slide of ${cols} x ${rows} " +
                "pixels, but the open one has ${width} x ${height}: they are of another slide.")
        }
    }

    /** Return what a file of JSON says; QuPath has no JSON of Groovy's own. */
    static Object json(File file) { return file.withReader('UTF-8') { new Gson().fromJson(it, Object) } }

    /** Return a file that maps.json names, or null if it is not there. */
    File file(Object name) {
        def found = name == null ? null : new File(folder, name as String)
        return found != null && found.isFile() ? found : null
    }

    /** Return the name that the results of a slide have: its file's without the last suffix. */
    static String nameOf(ImageServer slide) {
        def uris = slide.getURIs()
        def path = uris.isEmpty() ? null : uris.iterator().next().getPath()
        def name = path == null ? slide.getMetadata().getName() : path.substring(path.lastIndexOf('/') + 1)
        int dot = name.lastIndexOf('.')
        return dot > 0 ? name.substring(0, dot) : name
    }

    /** Return a slide's maps.json: in the folder given, else in the project's run, else beside the slide. */
    static File find(String given, ImageServer slide, Object project) {
        String name = nameOf(slide)
        if (given) {
            def place = new File(given)
            def found = [place, new File(place, 'maps.json'), new File(place, "${name}/maps.json")].find { it.isFile() }
            if (found == null)
                throw new Refusal("There are no results of ${name} in ${place}.")
            return new File(found.getAbsoluteFile().getParentFile(), 'maps.json')
        }
        def places = []
        def folder = project?.getPath()?.toFile()?.getAbsoluteFile()?.getParentFile()
        if (folder?.getName() == 'qupath' && folder.getParentFile()?.getName() == 'viewers')
            places << folder.getParentFile().getParentFile()
        def uris = slide.getURIs()
        if (!uris.isEmpty() && uris.iterator().next().getScheme() == 'file')
            places << new File(uris.iterator().next()).getParentFile()
        return places.collect { new File(new File(it, name), 'maps.json') }.find { it.isFile() }
    }

    /** Return the results of the open slide, asking for their folder where it is not known. */
    static SlideResults open(String given, ImageServer slide, Object project, boolean asks) {
        def manifest = find(given, slide, project)
        if (manifest == null && asks) {
            def folder = FileChoosers.promptForDirectory("Results of ${nameOf(slide)}" as String, null)
            if (folder == null)
                return null
            manifest = find(folder.getPath(), slide, null)
        }
        if (manifest == null)
            throw new Refusal("No results of ${nameOf(slide)} were found: open the project in viewers/qupath of the " +
                "results, put the results beside the slide, or give their folder as the script's argument.")
        def results = new SlideResults(manifest, slide)
        def theirs = results.said.slide.name
        def question = "These are the results of ${theirs}; the open slide is ${nameOf(slide)}. Are they the same?"
        if (theirs != nameOf(slide) && asks && !Dialogs.showConfirmDialog('Heatmaps', question as String))
            return null
        return results
    }

    /** Return the map of a name or title, refusing with those there are. */
    Map map(List<Map> maps, String wanted) {
        def found = maps.find { [it.name, it.title, it.measurement]*.toLowerCase().contains(wanted.toLowerCase()) }
        if (found == null)
            throw new Refusal("There is no map ${wanted}; there are ${maps.collect { it.name }.join(', ')}.")
        return found
    }

    /** Return 256 colours from a map's lower to its upper value, packed RGB; blocks of them for kinds of cells. */
    static int[] colours(Map map) {
        int[] known = map.colours.collect { Integer.parseInt((it as String).substring(1), 16) } as int[]
        def rgb = new int[256]
        int kinds = map.categories ? map.categories.size() : 0
        if (kinds > 0) {
            for (int i = 0; i < 256; i++)
                rgb[i] = known[i * kinds >> 8]
            return rgb
        }
        double first = map.levels_lower, last = map.levels_upper
        for (int i = 0; i < 256; i++) {
            double value = map.lower + (map.upper - map.lower) * i / 255
            double place = Math.max(0d, Math.min(1d, (value - first) / (last - first))) * (known.length - 1)
            int low = Math.min((int) place, known.length - 2)
            double part = place - low
            for (int shift : [16, 8, 0]) {
                int one = (known[low] >> shift) & 255, other = (known[low + 1] >> shift) & 255
                rgb[i] |= ((int) Math.round(one * (1 - part) + other * part)) << shift
            }
        }
        return rgb
    }

    /** Return a map's colours as QuPath has them. */
    static Object colourMap(Map map) {
        def rgb = colours(map)
        def part = { int shift -> rgb.collect { (it >> shift) & 255 } as int[] }
        return ColorMaps.createColorMap(map.title as String, part(16), part(8), part(0))
    }
}
// end of what all scripts share

/** Reads rows of a CSV file as RFC 4180 has it: fields in quotes may hold commas, quotes and line breaks. */
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
    /** By which tiles of an earlier import are known. */
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

    /** Return a class's name as QuPath can have it: in one line, and not derived from another. */
    static String qupathClass(String name) {
        return name.replaceAll(/[\r\n]+/, ' ').replace(':', '\u2236').trim() ?: 'class'
    }

    private PathClass classOf(String name) { return classes[name] ?: PathClass.fromString(qupathClass(name)) }

    /** Add a cell, a rectangle in level-0 pixels of the whole slide, as far as QuPath shows its place. */
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
                // a mark keeps spreadsheets from taking a name for a formula
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

def imageData = QPEx.getCurrentImageData()
def viewer = QPEx.getCurrentViewer()
// "Run for project" works on slides that no viewer shows
if (viewer != null && !imageData.is(viewer.getImageData()))
    viewer = null
def given = binding.hasVariable('args') && args ? args as List<String> : []
try {
    if (imageData == null)
        throw new Refusal('Open a slide first.')
    def slide = imageData.getServer()
    def results = SlideResults.open(given ? given[0] : null, slide, QPEx.getProject(), viewer != null)
    if (results == null)
        return
    def chosen = given && new File(given[0]).isFile() && !given[0].endsWith('maps.json') ? new File(given[0]) : null
    def file = chosen ?: results.file(results.said.cells) ?: results.file(results.said.cells_geojson)
    if (file == null)
        throw new Refusal("There are no cells in ${results.folder}; run heatmaps-ome with --formats cells.")
    def maps = results.said.maps.findAll { it.measurement }
    def shown = null
    if (given.size() > 1)
        shown = results.map(maps, given[1])
    else if (viewer != null && maps) {
        def titles = maps.collect { it.title as String }
        def title = Dialogs.showChoiceDialog('Tiles', 'Colour tiles by', titles, titles[0])
        if (title == null)
            return
        shown = results.map(maps, title)
    }
    def maker = new TileMaker(results, slide)
    if (file.getName().endsWith('.csv'))
        maker.addCsv(file)
    else
        maker.addGeoJson(file)
    def hierarchy = imageData.getHierarchy()
    def old = hierarchy.getTileObjects().findAll { it.getName() == TileMaker.NAME }
    hierarchy.removeObjects(old, true)
    hierarchy.addObjects(maker.tiles)
    if (viewer != null && shown != null) {
        def mapper = new MeasurementMapper(SlideResults.colourMap(shown), shown.measurement, maker.tiles)
        mapper.setDisplayMinValue(shown.lower as double)
        mapper.setDisplayMaxValue(shown.upper as double)
        Platform.runLater {
            def options = viewer.getOverlayOptions()
            options.setShowDetections(true)
            options.setFillDetections(true)
            options.setMeasurementMapper(mapper)
            viewer.repaint()
        }
    }
    println "${maker.tiles.size()} tiles were imported${old ? ", ${old.size()} of an earlier import were removed" : ''}."
} catch (Refusal e) {
    println e.getMessage()
    if (viewer != null)
        Dialogs.showErrorMessage('Tiles', e.getMessage())
}
