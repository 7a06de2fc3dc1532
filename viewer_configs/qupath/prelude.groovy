
// ---------------------------------------------------------------------------------------------
// The shared part of all scripts of heatmaps-ome: the open slide and its results. Each script ends with it.
// ---------------------------------------------------------------------------------------------
import com.google.gson.Gson
import com.google.gson.JsonParseException
import groovy.transform.CompileStatic
import java.math.MathContext
import java.math.RoundingMode
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.lib.color.ColorMaps
import qupath.lib.gui.scripting.QPEx
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServer

/** A reason for stopping, as one sentence for the user. */
class Refusal extends RuntimeException {
    Refusal(String sentence) { super(sentence) }
}

/** Numbers as people read them, as on our page: three significant digits. */
@CompileStatic
class Numbers {
    private static final MathContext THREE = new MathContext(3, RoundingMode.HALF_EVEN)

    static String number(double value) {
        if (Double.isNaN(value))
            return 'unknown'
        String sign = value < 0 ? '\u2212' : ''
        double size = Math.abs(value)
        if (Double.isInfinite(size))
            return sign + '\u221e'
        if (size == 0)
            return '0'
        if (size >= 1000 && size < 1e6)
            return sign + new BigDecimal(size).setScale(0, RoundingMode.HALF_EVEN).toPlainString()
        BigDecimal rounded = new BigDecimal(size).round(THREE).stripTrailingZeros()
        if (size >= 1e-4 && size < 1000)
            return sign + rounded.toPlainString()
        int exponent = rounded.precision() - rounded.scale() - 1
        String digits = rounded.unscaledValue().toString()
        String lead = digits.length() > 1 ? digits.substring(0, 1) + '.' + digits.substring(1) : digits
        return sign + lead + 'e' + (exponent < 0 ? '-' : '+') + String.format('%02d', Math.abs(exponent))
    }

    /** Three significant digits of a probability or, where it is above 0.5, of 1 - p; three decimals at least. */
    static String probability(double p) {
        double least = Math.min(p, 1 - p)
        if (!(p > 0 && p < 1) || p < 1e-4)
            return number(p)
        if (1 - p < 1e-4)
            return '1 \u2212 ' + number(1 - p)
        BigDecimal rounded = new BigDecimal(least).round(THREE)
        int exponent = rounded.precision() - rounded.scale() - 1
        String text = new BigDecimal(p).setScale(2 - exponent, RoundingMode.HALF_EVEN).toPlainString()
        return text.substring(0, 5) + text.substring(5).replaceFirst('0+$', '')
    }

    static String withUnit(double value, String unit) {
        return unit == 'probability' ? probability(value) : number(value)
    }
}

/** The open slide, the viewer that shows it, and the script's arguments. */
class CurrentSlide {
    final Object imageData
    /** Null without a window, and if "Run for project" works on a slide that no viewer shows. */
    final Object viewer
    final List<String> given

    CurrentSlide(List<String> given) {
        this.given = given
        imageData = QPEx.getCurrentImageData()
        def current = QPEx.getCurrentViewer()
        viewer = current == null || imageData.is(current.getImageData()) ? current : null
        setType(imageData)
    }

    /** Say that a slide is stained with haematoxylin and eosin, if nobody has said what it is. */
    static void setType(imageData) {
        if (imageData != null && imageData.getImageType() in [null, ImageData.ImageType.UNSET] && imageData.getServer().isRGB())
            imageData.setImageType(ImageData.ImageType.BRIGHTFIELD_H_E)
    }

    /** Return the slide's results, asking for their folder if a viewer shows the slide; null if cancelled. */
    SlideResults results() {
        if (imageData == null)
            throw new Refusal('Open a slide first.')
        return SlideResults.open(given ? given[0] : null, imageData.getServer(), QPEx.getProject(), viewer != null)
    }

    /** Return the file of cells or regions that was given instead of a folder, or null. */
    File fileGiven() {
        def file = given ? new File(given[0]) : null
        return file != null && file.isFile() && file.getName() != 'maps.json' ? file : null
    }

    /** Show the reason for stopping in a dialog, if there is a window. */
    void refuse(String title, Refusal why) {
        if (viewer != null)
            Dialogs.showErrorMessage(title, why.getMessage())
    }
}

/** The results of the open slide: the content of maps.json, and the files beside it. */
class SlideResults {
    final File folder
    Map said
    /** QuPath's (0, 0) in level-0 pixels of the whole slide: QuPath may crop to the bounds. */
    int l0Left, l0Top

    SlideResults(File manifest, ImageServer slide) {
        folder = manifest.getParentFile()
        try {
            said = (Map) json(manifest)
        } catch (IOException | JsonParseException | ClassCastException e) {
            throw new Refusal("${manifest} cannot be read and may be damaged: run heatmaps-ome again.")
        }
        if (said.format in ['heatmaps-ome maps 1', 'heatmaps-ome maps 2'])
            throw new Refusal("${manifest} was made by an earlier version of heatmaps-ome; run create again with " +
                "--overwrite (the network's work is in the cache).")
        if (said.format != 'heatmaps-ome maps 3')
            throw new Refusal("${manifest} is not of the format heatmaps-ome maps 3; take the scripts and the results " +
                "of one run of heatmaps-ome.")
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

    /** Return the content of a JSON file; QuPath does not have Groovy's JSON classes. */
    static Object json(File file) { return file.withReader('UTF-8') { new Gson().fromJson(it, Object) } }

    /** Return a file that maps.json names, or null if it is not there. */
    File file(Object name) {
        def found = name == null ? null : new File(folder, name as String)
        return found != null && found.isFile() ? found : null
    }

    /** Return the name of a slide's results: its file's name without the last suffix. */
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
        if (folder?.getName() ==~ /qupath(-.+)?/ && folder.getParentFile()?.getName() == 'viewers')
            places << folder.getParentFile().getParentFile()
        def uris = slide.getURIs()
        if (!uris.isEmpty() && uris.iterator().next().getScheme() == 'file')
            places << new File(uris.iterator().next()).getParentFile()
        return places.collect { new File(new File(it, name), 'maps.json') }.find { it.isFile() }
    }

    /** Return the results of the open slide, asking for their folder if it is not known. */
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

    /** Return the map with a name or title, or refuse with a list of the maps. */
    Map map(List<Map> maps, String wanted) {
        def named = { Map map -> [map.name, map.title, map.measurement] }
        // an exact match first: names of classes may differ only in capitals
        def found = maps.find { named(it).contains(wanted) } ?:
            maps.find { named(it)*.toLowerCase().contains(wanted.toLowerCase()) }
        if (found == null)
            throw new Refusal("There is no map ${wanted}; there are ${maps.collect { it.name }.join(', ')}.")
        return found
    }

    /** Return a map's own colours, packed RGB. */
    static int[] ownColours(Map map) {
        return map.colours.collect { Integer.parseInt((it as String).substring(1), 16) } as int[]
    }

    /** Return 256 colours from the lower to the upper value of a map of numbers, packed RGB. */
    static int[] colours(Map map) {
        int[] known = ownColours(map)
        def rgb = new int[256]
        double first = map.levels.lower, last = map.levels.upper, lower = map.range.lower, upper = map.range.upper
        for (int i = 0; i < 256; i++) {
            double value = lower + (upper - lower) * i / 255
            double place = Math.max(0d, Math.min(1d, (value - first) / (last - first))) * (known.length - 1)
            rgb[i] = known[(int) Math.rint(place)]
        }
        return rgb
    }

    /** Return a map's colours as a ColorMap of QuPath. */
    static Object colourMap(Map map) {
        def rgb = colours(map)
        def part = { int shift -> rgb.collect { (it >> shift) & 255 } as int[] }
        return ColorMaps.createColorMap(map.title as String, part(16), part(8), part(0))
    }
}
