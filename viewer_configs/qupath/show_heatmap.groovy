/*
 * Shows a heatmap on the slide that is open, transparent and at its true place (QuPath 0.5 - 0.7).
 *
 * Run it from Automate > Project scripts, or drag it onto QuPath and press Run. Nothing needs to be
 * edited: results are found by the name of the slide. Optional script arguments: the folder of the
 * results, and the name of a map ("attention").
 *
 * A small window chooses the map and its opacity and explains the colours. Each slide that is opened
 * in the same viewer afterwards shows the same map, until the window is closed. The value under the
 * mouse stands in the corner of the picture: it is that of the cell around it, found by arithmetic.
 * C hides and shows the map. Values are read from <slide>.values.ome.tiff, a pixel for each cell.
 *
 * In the repository, the shared part is in prelude.groovy: README.md describes how to join them.
 */
import java.awt.image.BufferedImage
import java.util.function.Function
import java.util.function.Predicate
import javafx.application.Platform
import javafx.beans.value.ChangeListener
import javafx.scene.Scene
import javafx.scene.control.Button
import javafx.scene.control.ComboBox
import javafx.scene.control.Label
import javafx.scene.control.Slider
import javafx.scene.image.ImageView
import javafx.scene.image.WritableImage
import javafx.scene.layout.BorderPane
import javafx.scene.layout.VBox
import javafx.stage.Stage
import javafx.stage.Window
import qupath.lib.gui.viewer.overlays.AbstractOverlay
import qupath.lib.gui.viewer.overlays.PixelClassificationOverlay
import qupath.lib.images.servers.AbstractTileableImageServer
import qupath.lib.images.servers.ImageChannel
import qupath.lib.images.servers.ImageServerBuilder
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.images.servers.ImageServerProvider
import qupath.lib.images.servers.ImageServers
import qupath.lib.images.servers.PixelType
import qupath.lib.images.servers.TileRequest

/** The file of a slide's values: a pixel for each cell, a channel for each map. */
class ValuesFile {
    final int rows, cols
    private final File file
    private final ImageServer<BufferedImage> server

    ValuesFile(SlideResults results) {
        file = results.file(results.said.values_tiff)
        if (file == null)
            throw new Refusal("There are no values in ${results.folder}; run heatmaps-ome with --formats ome-tiff.")
        try {
            server = ImageServers.buildServer(file.toURI())
        } catch (IOException e) {
            throw damaged(e)
        }
        rows = results.said.grid.shape.rows as int
        cols = results.said.grid.shape.cols as int
        if (server.getWidth() != cols || server.getHeight() != rows)
            throw new Refusal("${file} has ${server.getWidth()} x ${server.getHeight()} pixels for ${cols} x ${rows} " +
                "cells: it is of other results; run heatmaps-ome again.")
        // a file of this name may have been read before, and been replaced since
        def path = server.getPath()
        ImageServerProvider.getCache(BufferedImage)?.keySet()?.removeIf({ it.getPath() == path } as Predicate)
    }

    int getChannels() { return server.nChannels() }

    /** Return the channel of a name, or null. */
    Integer channel(String name) { return (0..<channels).find { server.getChannel(it).getName() == name } }

    /** Return the values of some channels, cell by cell, by their numbers. */
    Map<Integer, float[]> read(Collection<Integer> wanted) {
        Map<Integer, float[]> planes = wanted.unique(false).collectEntries { [(it): new float[rows * cols]] }
        try {
            server.getTileRequestManager().getTileRequestsForLevel(0).each { tile ->
                def raster = server.readRegion(tile.getRegionRequest()).getRaster()
                planes.each { channel, plane ->
                    float[] part = raster.getSamples(0, 0, raster.getWidth(), raster.getHeight(), channel, (float[]) null)
                    for (int row = 0; row < raster.getHeight(); row++)
                        System.arraycopy(part, row * raster.getWidth(), plane, (tile.getTileY() + row) * cols + tile.getTileX(), raster.getWidth())
                }
            }
        } catch (IOException e) {
            throw damaged(e)
        }
        return planes
    }

    private Refusal damaged(IOException why) {
        return new Refusal("${file} cannot be read and may be damaged (${why.getMessage()}): run heatmaps-ome again.")
    }

    void close() { server.close() }
}

/** The rules by which a map's values follow from channels; NaN where a cell has none. */
@CompileStatic
class Rules {
    /** Return the position, counted from 1, of the plane that has the highest value. */
    static float[] highest(List<float[]> planes) {
        float[] out = new float[planes[0].length]
        for (int i = 0; i < out.length; i++) {
            int best = 0
            boolean known = true
            for (int k = 0; k < planes.size(); k++) {
                known = known && !Float.isNaN(planes[k][i])
                if (planes[k][i] > planes[best][i])
                    best = k
            }
            out[i] = known ? (float) (best + 1) : Float.NaN
        }
        return out
    }

    /** Return a plane less the highest of others. */
    static float[] less(float[] own, List<float[]> others) {
        float[] out = Arrays.copyOf(own, own.length)
        for (int i = 0; i < out.length; i++) {
            float rival = Float.NEGATIVE_INFINITY
            for (float[] other : others)
                rival = Math.max(rival, other[i])
            out[i] -= rival
        }
        return out
    }

    /** Return 1 where any plane has a value. */
    static float[] any(Collection<float[]> planes) {
        float[] out = new float[planes.first().length]
        Arrays.fill(out, Float.NaN)
        for (float[] plane : planes)
            for (int i = 0; i < out.length; i++)
                if (!Float.isNaN(plane[i]))
                    out[i] = 1f
        return out
    }
}

/** The cells of a map where the open slide has them: of each its raw value and its colour. */
@CompileStatic
class Cells {
    final int rows, cols
    /** Corner of the first cell and size of all, in pixels of the open slide. */
    final double left, top, wide, high
    /** Raw values, row by row; NaN where a cell has none. */
    final float[] values
    final int[] argb

    Cells(int rows, int cols, List<Double> place, float[] values, int[] argb) {
        this.rows = rows
        this.cols = cols
        this.left = place[0]
        this.top = place[1]
        this.wide = place[2]
        this.high = place[3]
        this.values = values
        this.argb = argb
    }

    private static int index(double place, double first, double size, int cells) {
        int found = (int) Math.floor((place - first) / size)
        return found >= 0 && found < cells ? found : -1
    }

    /** Return the number of the cell around a place, or -1. */
    int at(double x, double y) {
        int row = index(y, top, high, rows), col = index(x, left, wide, cols)
        return row < 0 || col < 0 ? -1 : row * cols + col
    }

    double valueAt(double x, double y) {
        int cell = at(x, y)
        return cell < 0 ? Double.NaN : values[cell]
    }

    /** Return a picture whose pixels, of so many pixels of the slide, have the colour of the cell around their centre. */
    BufferedImage drawn(int firstX, int firstY, int width, int height, double pixel) {
        int[] columns = new int[width]
        for (int x = 0; x < width; x++)
            columns[x] = index((firstX + x + 0.5d) * pixel, left, wide, cols)
        int[] line = new int[width]
        BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_INT_ARGB)
        for (int y = 0; y < height; y++) {
            int row = index((firstY + y + 0.5d) * pixel, top, high, rows)
            if (row < 0)
                continue
            for (int x = 0; x < width; x++)
                line[x] = columns[x] < 0 ? 0 : argb[row * cols + columns[x]]
            image.setRGB(0, y, width, 1, line, 0, width)
        }
        return image
    }
}

/** Colours of cells: those of the levels that their values are nearest to, as in all other files. */
@CompileStatic
class Painter {
    /** Return packed ARGB for each value of a map of numbers. */
    static int[] ofNumbers(float[] values, int[] rgb, double first, double last) {
        int[] out = new int[values.length]
        for (int i = 0; i < out.length; i++)
            if (!Float.isNaN(values[i])) {
                double place = Math.max(0d, Math.min(1d, (values[i] - first) / (last - first)))
                out[i] = (255 << 24) | rgb[(int) Math.rint(place * (rgb.length - 1))]
            }
        return out
    }

    /** Return packed ARGB for values that count kinds from 1. */
    static int[] ofKinds(float[] values, int[] rgb) {
        int[] out = new int[values.length]
        for (int i = 0; i < out.length; i++)
            if (values[i] >= 1 && values[i] <= rgb.length)
                out[i] = (255 << 24) | rgb[(int) values[i] - 1]
        return out
    }

    /** Make cells as opaque as another map's values are high. */
    static void fade(int[] argb, float[] by, double lower, double upper) {
        for (int i = 0; i < argb.length; i++) {
            double part = Float.isNaN(by[i]) ? 0d : Math.max(0d, Math.min(1d, (by[i] - lower) / (upper - lower)))
            if (argb[i] != 0)
                argb[i] = ((int) Math.rint(255 * part) << 24) | (argb[i] & 0xffffff)
        }
    }
}

/** Tiles of a map for QuPath, in the frame of the open slide. */
class CellServer extends AbstractTileableImageServer {
    private static final int TILE = 512
    private final Cells cells
    private final ImageServerMetadata metadata
    private final Collection<URI> places
    private final String id

    CellServer(ImageServer<BufferedImage> slide, Cells cells, String name) {
        this.cells = cells
        this.places = slide.getURIs()
        // QuPath keeps tiles under this name, and results may be replaced while it runs
        this.id = "Heatmap ${name} of ${slide.getPath()} ${UUID.randomUUID()}"
        int width = slide.getWidth(), height = slide.getHeight()
        def levels = new ImageServerMetadata.ImageResolutionLevel.Builder(width, height)
        for (int size = 1; size == 1 || Math.max(width, height) * 2 > size * TILE; size *= 2)
            // rounded up: a partial pixel at the slide's edge is shown too
            levels.addLevel(size, (int) Math.ceil(width / (double) size), (int) Math.ceil(height / (double) size))
        metadata = new ImageServerMetadata.Builder(slide.getMetadata())
            .name(name)
            .rgb(true)
            .pixelType(PixelType.UINT8)
            .channels(ImageChannel.getDefaultRGBChannels())
            .preferredTileSize(TILE, TILE)
            .levels(levels.build())
            .build()
    }

    @Override
    protected BufferedImage readTile(TileRequest tile) throws IOException {
        return cells.drawn(tile.getTileX(), tile.getTileY(), tile.getTileWidth(), tile.getTileHeight(),
            getDownsampleForResolution(tile.getLevel()))
    }

    @Override protected ImageServerBuilder.ServerBuilder<BufferedImage> createServerBuilder() { return null }
    @Override protected String createID() { return id }
    @Override Collection<URI> getURIs() { return places }
    @Override String getServerType() { return 'Heatmap in the frame of a slide' }
    @Override ImageServerMetadata getOriginalMetadata() { return metadata }
}

/** A viewer with one of the open slide's maps on it. */
class HeatmapViewer {
    /** Opacity above which the tissue could not be seen under a map. */
    private static final double MOST_OPAQUE = 0.6d
    final Object viewer
    final Object imageData
    final SlideResults results
    Map map
    PixelClassificationOverlay overlay
    private final ValuesFile file

    HeatmapViewer(viewer, imageData, SlideResults results) {
        this.viewer = viewer
        this.imageData = imageData
        this.results = results
        this.file = new ValuesFile(results)
    }

    /** Return the maps that can be displayed. */
    List<Map> maps() { return results.said.maps.findAll { sources(it) } }

    /** Return the map that is shown first: the score of the class drawn hot, or what comes closest. */
    Map first() {
        def maps = maps()
        def hot = { String kind -> maps.find { it.kind == kind && it.class == results.said.true_class } }
        return hot('score') ?: hot('prediction') ?: hot('value') ?: maps[0]
    }

    /** Return the channels that a map's values follow from. */
    private List<Integer> sources(Map map) {
        def derived = map.derived
        if (map.channel != null)
            return [map.channel as int]
        if (derived?.highest_of)
            return derived.highest_of.collect { it as int }
        if (derived?.minus_highest_of)
            return [derived.channel as int] + derived.minus_highest_of.collect { it as int }
        if (map.kind == 'tissue')
            return (0..<file.channels).toList()
        def own = file.channel(map.name as String)
        return own == null ? [] : [own]
    }

    private float[] valuesOf(Map map, Map<Integer, float[]> planes) {
        def given = sources(map).collect { planes[it] }
        if (map.derived?.highest_of)
            return Rules.highest(given)
        if (map.derived?.minus_highest_of)
            return Rules.less(given[0], given.tail())
        return map.kind == 'tissue' ? Rules.any(given) : given[0]
    }

    private Cells cellsOf(Map map) {
        def fading = map.opacity.fades_with
        def planes = file.read(sources(map) + (fading ? [fading.channel as int] : []))
        float[] values = valuesOf(map, planes)
        int[] rgb = SlideResults.ownColours(map)
        double factor = map.factor      // from the raw to the drawn values, which the levels are of
        int[] argb = map.levels == null ? Painter.ofKinds(values, rgb) :
            Painter.ofNumbers(values, rgb, map.levels.lower / factor, map.levels.upper / factor)
        if (fading)
            Painter.fade(argb, planes[fading.channel as int], fading.lower as double, fading.upper as double)
        return new Cells(file.rows, file.cols, placeOf(map), values, argb)
    }

    /** Return left, top, width and height of the first cell in pixels of the open slide. */
    private List<Double> placeOf(Map map) {
        def grid = results.said.grid
        def corner = map.l0_origin ?: grid.l0_origin
        return [corner.x - results.l0Left, corner.y - results.l0Top, grid.l0_cell.x, grid.l0_cell.y].collect { it as double }
    }

    /** Replace the map on the slide. */
    void show(Map map) {
        def cells = cellsOf(map)
        def server = new CellServer(imageData.getServer(), cells, map.title as String)
        def ours = { data -> data == imageData ? server : null } as Function
        def overlay = PixelClassificationOverlay.create(viewer.getOverlayOptions(), ours, null)
        overlay.setLivePrediction(true)     // draw tiles when they come into view
        overlay.setOpacity(Math.min(MOST_OPAQUE, map.opacity.alpha as double))
        def tell = { data, x, y, z, t -> data == imageData ? told(map, cells.valueAt(x, y)) : null }
        overlay.setLocationStringFunction(tell as AbstractOverlay.LocationStringFunction)
        replace(overlay)
        this.map = map
    }

    /** Return a map's title and the drawn value of a cell in words, or null where there is none. */
    static String told(Map map, double raw) {
        if (Double.isNaN(raw))
            return null
        if (map.levels == null) {
            if (!map.categories)
                return map.title
            return "${map.title}: ${raw < 1 ? 'none' : map.categories[(int) raw - 1]}"
        }
        double factor = map.factor
        def text = "${map.title}: ${Numbers.withUnit(raw * factor, map.unit as String)}"
        return factor == 1 ? text : "${text} (raw: ${Numbers.withUnit(raw, map.raw?.unit as String)})"
    }

    private void replace(PixelClassificationOverlay overlay) {
        def before = this.overlay
        this.overlay = overlay
        Platform.runLater {
            viewer.getOverlayOptions().setShowPixelClassification(true)
            viewer.setCustomPixelLayerOverlay(overlay)
            viewer.repaint()
            before?.stop()
        }
    }

    /** Change the opacity of the displayed map. */
    void setOpacity(double opacity) {
        overlay.setOpacity(opacity)
        viewer.repaint()
    }

    /** Take the map off the slide. */
    void remove() {
        if (viewer.getCustomPixelLayerOverlay() == overlay)
            viewer.resetCustomPixelLayerOverlay()
        overlay?.stop()
        viewer.repaint()
        file.close()
    }
}

/** The meaning of a map's colours, in words and as a bar. */
class Legend {
    static final int WIDE = 256, HIGH = 14, HIGH_FADING = 40
    private final Map said, map

    Legend(Map said, Map map) {
        this.said = said
        this.map = map
    }

    /** Return what stands at the lower end, in the middle and at the upper end of the bar. */
    List<String> numbers() {
        if (map.levels == null)
            return ['', '', '']
        double first = map.range.lower, last = map.range.upper
        def (below, above) = map.range.clips ?: [false, false]
        def written = [first, (first + last) / 2, last].collect { Numbers.withUnit(it as double, map.unit as String) }
        return [(below ? '\u2264 ' : '') + written[0], written[1], (above ? '\u2265 ' : '') + written[2]]
    }

    /** Return sentences below the bar. */
    String words() {
        def unit = map.unit && !(map.quantity as String).contains(map.unit as String) ? " (${map.unit})" : ''
        def lines = ["${map.quantity}${unit}"]
        if (map.range.ends?.any())
            lines << "left: ${map.range.ends[0]}, right: ${map.range.ends[1]}"
        if (map.raw)
            lines << "raw: ${map.raw.quantity}, which is 1/${Numbers.number(map.factor as double)} of it"
        def fading = map.opacity.fades_with
        if (fading)
            lines << "fades where attention is low: from ${Numbers.number(fading.upper as double)} (top of the bar) " +
                "to ${Numbers.number(fading.lower as double)} (bottom)"
        if (map.note)
            lines << (map.note as String)
        return lines.join('\n')
    }

    /** Return the slide's prediction, the class drawn hot, and ground truth if it is known. */
    String slide() {
        boolean likely = !((said.target?.task ?: '') in ['regression', 'survival'])
        def best = said.prediction.findAll { it.value != null }.sort { -(it.value as double) }.take(3)
        def told = best.collect { name, p -> "${name} ${likely ? Numbers.probability(p as double) : Numbers.number(p as double)}" }
        def lines = told ? ["prediction: ${told.join(', ')}"] : []
        lines << "drawn hot: ${said.true_class}"
        if (said.label != null)
            lines << "ground truth: ${said.label}"
        return (lines + ['For research, not for diagnosis.']).join('\n')
    }

    /** Return the kinds of cells with their colours. */
    List<Label> kinds() {
        return (map.categories ?: []).withIndex().collect { name, i ->
            def label = new Label(name as String)
            // a block of the colour before the name, as some colours are too light for letters
            label.setStyle("-fx-border-color: ${map.colours[i]}; -fx-border-width: 0 0 0 14; -fx-padding: 0 0 0 6;" as String)
            return label
        }
    }

    /** Return the bar of a map of numbers; of one that fades, from high attention at the top to low. */
    WritableImage bar() {
        if (map.levels == null)
            return null
        int high = map.opacity.fades_with ? HIGH_FADING : HIGH
        def image = new WritableImage(WIDE, high)
        int[] rgb = SlideResults.colours(map)
        for (int y = 0; y < high; y++) {
            double part = map.opacity.fades_with ? 1 - y / (double) (high - 1) : 1
            for (int x = 0; x < WIDE; x++) {
                int mixed = 255
                for (int shift : [16, 8, 0])
                    mixed = (mixed << 8) | (int) Math.rint(((rgb[x] >> shift) & 255) * part + 255 * (1 - part))
                image.getPixelWriter().setArgb(x, y, mixed)
            }
        }
        return image
    }
}

/** The window beside the slide: the map, its opacity, and the meaning of its colours. */
class HeatmapWindow {
    private static final String KEY = 'heatmaps-ome'
    private final Object viewer
    private HeatmapViewer shown
    private final Stage stage = new Stage()
    private final ComboBox choice = new ComboBox()
    private final ImageView bar = new ImageView()
    private final Label words = new Label(), slide = new Label()
    private final List<Label> numbers = [new Label(), new Label(), new Label()]
    private final VBox kinds = new VBox(2)
    private final Slider opacity = new Slider(0, 1, 1)
    private final ChangeListener follower
    private boolean filling

    HeatmapWindow(HeatmapViewer shown) {
        this.viewer = shown.viewer
        choice.setOnAction { if (!filling && choice.getValue() != null) change(choice.getValue() as String) }
        choice.setMaxWidth(Double.MAX_VALUE)
        def faint = { property, before, now -> if (!filling) this.shown?.setOpacity(now as double) }
        opacity.valueProperty().addListener(faint as ChangeListener)
        def close = new Button('Remove heatmap')
        close.setOnAction { stage.close() }
        close.setMaxWidth(Double.MAX_VALUE)
        [words, slide].each {
            it.setWrapText(true)
            it.setMaxWidth(Legend.WIDE)
        }
        def ends = new BorderPane(numbers[1], null, numbers[2], null, numbers[0])
        def box = new VBox(6, choice, bar, ends, kinds, words, new Label('Opacity'), opacity, slide, close)
        box.setStyle('-fx-padding: 10;')
        stage.setScene(new Scene(box))
        def owner = QPEx.getQuPath()?.getStage()
        if (owner != null)
            stage.initOwner(owner)      // stays before QuPath's window, not before other programs'
        stage.setResizable(false)
        follower = { property, before, now -> follow(now) } as ChangeListener
        viewer.imageDataProperty().addListener(follower)
        stage.setOnHidden {
            viewer.imageDataProperty().removeListener(follower)
            this.shown?.remove()
        }
        take(shown)
    }

    /** Open the window, replacing the one of an earlier run for this viewer. */
    static void open(HeatmapViewer shown) {
        new ArrayList(Window.getWindows()).each {
            if (it.getProperties().get(KEY)?.is(shown.viewer))
                it.hide()
        }
        def window = new HeatmapWindow(shown)
        window.stage.getProperties().put(KEY, shown.viewer)
        window.stage.show()
    }

    /** Show what a viewer shows now. */
    private void take(HeatmapViewer now) {
        shown = now
        stage.setTitle(now.results.said.slide.name as String)
        choice.setDisable(false)
        filling = true
        choice.getItems().setAll(now.maps().collect { it.title as String })
        choice.setValue(now.map.title as String)
        filling = false
        describe()
    }

    private void change(String title) {
        try {
            shown.show(shown.maps().find { it.title == title })
            describe()
        } catch (Refusal e) {
            Dialogs.showErrorMessage('Heatmap', e.getMessage())
        }
    }

    /** Show the same map on a slide that was opened in the viewer, if it has results. */
    private void follow(Object imageData) {
        if (imageData == null || imageData.is(shown?.imageData))
            return
        def run = shown.results.folder.getAbsoluteFile().getParent(), name = shown.map.name
        try {
            def manifest = SlideResults.find(run, imageData.getServer(), null)
            CurrentSlide.setType(imageData)
            def next = new HeatmapViewer(viewer, imageData, new SlideResults(manifest, imageData.getServer()))
            next.show(next.maps().find { it.name == name } ?: next.first())
            shown.remove()
            take(next)
        } catch (Refusal e) {
            choice.setDisable(true)
            words.setText(e.getMessage())
        }
        stage.sizeToScene()
    }

    private void describe() {
        def legend = new Legend(shown.results.said, shown.map)
        bar.setImage(legend.bar())
        legend.numbers().eachWithIndex { text, i -> numbers[i].setText(text) }
        kinds.getChildren().setAll(legend.kinds())
        words.setText(legend.words())
        slide.setText(legend.slide())
        filling = true
        opacity.setValue(shown.overlay.getOpacity())
        filling = false
        stage.sizeToScene()
    }
}

def open = new CurrentSlide(binding.hasVariable('args') && args ? args as List<String> : [])
try {
    if (open.imageData != null && open.viewer == null)
        throw new Refusal('Heatmaps need the window of QuPath: run this script there.')
    def results = open.results()
    if (results == null)
        return
    def heatmap = new HeatmapViewer(open.viewer, open.imageData, results)
    heatmap.show(open.given.size() > 1 ? results.map(heatmap.maps(), open.given[1]) : heatmap.first())
    println "${heatmap.map.title} of ${results.said.slide.name} is shown."
    Platform.runLater {
        try {
            HeatmapWindow.open(heatmap)
        } catch (RuntimeException | LinkageError e) {
            println "Its window cannot be opened (${e}); QuPath's own opacity slider and the key C work."
        }
    }
} catch (Refusal e) {
    println e.getMessage()
    open.refuse('Heatmap', e)
}
