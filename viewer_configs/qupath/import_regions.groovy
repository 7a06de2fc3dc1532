/*
 * Makes annotations of the hot and cold regions of the open slide, with their area, mean score and share of
 * the evidence as measurements (QuPath 0.5 - 0.7).
 *
 * Run it from Automate > Project scripts, or without a window: QuPath script -p project.qpproj -s
 * import_regions.groovy. Nothing needs to be edited: results are found by the name of the slide. A
 * second run replaces the regions of the first. Optional script argument: the folder of the results
 * (or <slide>.regions.geojson in it).
 */
import com.google.gson.Gson
import com.google.gson.JsonParseException
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.lib.color.ColorMaps
import qupath.lib.gui.scripting.QPEx
import qupath.lib.images.servers.ImageServer
import qupath.lib.io.PathIO
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs
import qupath.lib.roi.RoiTools

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

/** Reads regions into the frame of the open slide. */
class RegionReader {
    private final SlideResults results
    private final int width, height

    RegionReader(SlideResults results, ImageServer slide) {
        this.results = results
        this.width = slide.getWidth()
        this.height = slide.getHeight()
    }

    /** Return whether an annotation is a region that this script, or dropping the file on QuPath, has made. */
    static boolean isOurs(annotation) {
        return annotation.getName() ==~ /(hot|cold) \d+/ && annotation.getMeasurementList().containsKey('share of tissue')
    }

    /** Return the regions of a file as far as QuPath shows their place. */
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
                region.setROI(roi)
            return !roi.isEmpty()
        }
    }

    /** Return the part of an outline that lies on the slide as QuPath shows it. */
    private Object shown(Object roi) {
        double left = roi.getBoundsX(), top = roi.getBoundsY()
        if (left >= 0 && top >= 0 && left + roi.getBoundsWidth() <= width && top + roi.getBoundsHeight() <= height)
            return roi
        return RoiTools.intersection(roi, ROIs.createRectangleROI(0, 0, width, height, ImagePlane.getDefaultPlane()))
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
    def file = chosen ?: results.file(results.said.regions_geojson)
    if (file == null)
        throw new Refusal("There are no regions in ${results.folder}; run heatmaps-ome with --formats regions.")
    def regions = new RegionReader(results, slide).read(file)
    def hierarchy = imageData.getHierarchy()
    def old = hierarchy.getAnnotationObjects().findAll { RegionReader.isOurs(it) }
    hierarchy.removeObjects(old, true)
    hierarchy.addObjects(regions)
    println "${regions.size()} regions were imported${old ? ", ${old.size()} of an earlier import were removed" : ''}."
} catch (Refusal e) {
    println e.getMessage()
    if (viewer != null)
        Dialogs.showErrorMessage('Regions', e.getMessage())
}
