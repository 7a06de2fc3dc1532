
// ---------------------------------------------------------------------------------------------
// The shared part of all scripts of heatmaps-ome: the open slide and its results. Each script ends with it.
// ---------------------------------------------------------------------------------------------
import com.google.gson.Gson
import com.google.gson.JsonParseException
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.lib.color.ColorMaps
import qupath.lib.gui.scripting.QPEx
import qupath.lib.images.servers.ImageServer

/** A reason for stopping, as one sentence for the user. */
class Refusal extends RuntimeException {
    Refusal(String sentence) { super(sentence) }
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
        if (said.format == 'heatmaps-ome maps 1')
            throw new Refusal("${manifest} was made by an earlier version of heatmaps-ome; run create again with " +
                "--overwrite (the network's work is in the cache).")
        if (said.format != 'heatmaps-ome maps 2')
            throw new Refusal("${manifest} is not of the format heatmaps-ome maps 2; take the scripts and the results " +
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
        if (folder?.getName() == 'qupath' && folder.getParentFile()?.getName() == 'viewers')
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
        double first = map.levels.lower, last = map.levels.upper, lower = map.range.lower, upper = map.range.upper
        for (int i = 0; i < 256; i++) {
            double value = lower + (upper - lower) * i / 255
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

    /** Return a map's colours as a ColorMap of QuPath. */
    static Object colourMap(Map map) {
        def rgb = colours(map)
        def part = { int shift -> rgb.collect { (it >> shift) & 255 } as int[] }
        return ColorMaps.createColorMap(map.title as String, part(16), part(8), part(0))
    }
}
