/*
 * Shows a heatmap on the slide that is open, transparent and at its true place (QuPath 0.5 - 0.7).
 *
 * Run it from Automate > Project scripts, or drag it onto QuPath and press Run. Nothing needs to be
 * edited: results are found by the name of the slide. Optional script arguments: the folder of the
 * results, and the name of a map ("attention").
 *
 * A small window chooses the map and its opacity and explains the colours. Where the slide's
 * <slide>.values.ome.tiff is there, QuPath colours the raw values and shows the one under the mouse
 * in the corner of the picture; otherwise the finished overlay <slide>.<map>.ome.tiff is shown.
 * C hides and shows the map.
 *
 * In the repository, the shared part is in prelude.groovy: README.md describes how to join them.
 */
import groovy.transform.CompileStatic
import java.awt.image.BandedSampleModel
import java.awt.image.BufferedImage
import java.awt.image.ColorModel
import java.awt.image.DataBuffer
import java.awt.image.DataBufferFloat
import java.awt.image.Raster
import java.util.function.DoubleToIntFunction
import java.util.function.Function
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
import qupath.lib.color.ColorModelFactory
import qupath.lib.gui.images.stores.ColorModelRenderer
import qupath.lib.gui.viewer.overlays.AbstractOverlay
import qupath.lib.gui.viewer.overlays.PixelClassificationOverlay
import qupath.lib.images.servers.AbstractTileableImageServer
import qupath.lib.images.servers.ImageChannel
import qupath.lib.images.servers.ImageServerBuilder
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.images.servers.ImageServers
import qupath.lib.images.servers.PixelType
import qupath.lib.images.servers.TileRequest
import qupath.lib.regions.ImageRegion

/** An overlay file in the frame of the open slide, whose corner may lie anywhere in it. */
class AlignedServer extends AbstractTileableImageServer {
    private final ImageServer<BufferedImage> source
    private final double scale
    private final int l0Left, l0Top
    private final int[] bands
    private final ColorModel model
    private final ImageServerMetadata metadata
    private final String id

    /**
     * @param scale level-0 pixels per pixel of the source
     * @param channels channels of the source to show, or null to show its colours
     * @param model colours of the channels
     */
    AlignedServer(ImageServer<BufferedImage> slide, ImageServer<BufferedImage> source, double scale,
                  SlideResults results, List<Integer> channels, ColorModel model) {
        this.source = source
        this.scale = scale
        this.l0Left = results.l0Left
        this.l0Top = results.l0Top
        this.bands = channels as int[]
        this.model = model
        this.id = "Heatmap ${channels} of ${source.getPath()} on ${slide.getPath()} at ${l0Left}, ${l0Top}"
        this.metadata = metadataFor(slide)
    }

    private ImageServerMetadata metadataFor(ImageServer<BufferedImage> slide) {
        int width = slide.getWidth(), height = slide.getHeight()
        def levels = new ImageServerMetadata.ImageResolutionLevel.Builder(width, height)
        for (int level = 0; level < source.nResolutions(); level++) {
            double size = l0Pixel(level)
            // rounded up: a partial pixel at the slide's edge is shown too
            levels.addLevel(size, (int) Math.ceil(width / size), (int) Math.ceil(height / size))
        }
        def theirs = source.getMetadata()
        def calibration = slide.getPixelCalibration()
        def builder = new ImageServerMetadata.Builder(theirs)
            .width(width).height(height)
            .pixelSizeMicrons(calibration.getPixelWidthMicrons(), calibration.getPixelHeightMicrons())
            .channelType(ImageServerMetadata.ChannelType.FEATURE)
            .preferredTileSize(theirs.getPreferredTileWidth(), theirs.getPreferredTileHeight())
            .levels(levels.build())
        if (bands != null)
            builder.channels(bands.collect { ImageChannel.getInstance(source.getChannel(it).getName(), 0xffffff) })
        return builder.build()
    }

    /** Return the size of a level's pixels in level-0 pixels of the slide. */
    private double l0Pixel(int level) { return scale * source.getDownsampleForResolution(level) }

    /** Return the source's shift in whole pixels of a level; the error is at most half a pixel. */
    private static int shift(int l0Offset, double l0Pixel) { return (int) Math.floor(l0Offset / l0Pixel + 0.5) }

    @Override
    protected BufferedImage readTile(TileRequest tile) throws IOException {
        int level = tile.getLevel()
        double size = l0Pixel(level)
        int left = tile.getTileX() + shift(l0Left, size), top = tile.getTileY() + shift(l0Top, size)
        def target = blank(tile.getTileWidth(), tile.getTileHeight())
        def whole = source.getMetadata().getLevel(level)
        int right = Math.min(left + tile.getTileWidth(), whole.getWidth())
        int bottom = Math.min(top + tile.getTileHeight(), whole.getHeight())
        int wide = source.getMetadata().getPreferredTileWidth(), high = source.getMetadata().getPreferredTileHeight()
        // whole tiles of the source only: QuPath drops alpha in all other regions
        for (int y = top.intdiv(high) * high; y < bottom; y += high)
            for (int x = left.intdiv(wide) * wide; x < right; x += wide) {
                int columns = Math.min(wide, whole.getWidth() - x), rows = Math.min(high, whole.getHeight() - y)
                def region = ImageRegion.createInstance(x, y, columns, rows, 0, 0)
                def image = source.readRegion(TileRequest.createInstance(source, level, region).getRegionRequest())
                if (image != null)
                    copy(image, x - left, y - top, target)
            }
        return target
    }

    /** Return a tile without values: NaN, or transparent. */
    private BufferedImage blank(int width, int height) {
        if (bands == null)
            return new BufferedImage(width, height, BufferedImage.TYPE_INT_ARGB)
        def buffer = new DataBufferFloat(width * height, bands.length)
        for (int band = 0; band < bands.length; band++)
            Arrays.fill(buffer.getData(band), Float.NaN)
        def layout = new BandedSampleModel(DataBuffer.TYPE_FLOAT, width, height, bands.length)
        return new BufferedImage(model, Raster.createWritableRaster(layout, buffer, null), false, null)
    }

    /** Copy the part of an image that lies in another into it. */
    private void copy(BufferedImage image, int x, int y, BufferedImage target) {
        int left = Math.max(x, 0), top = Math.max(y, 0)
        int wide = Math.min(x + image.getWidth(), target.getWidth()) - left
        int high = Math.min(y + image.getHeight(), target.getHeight()) - top
        if (wide <= 0 || high <= 0)
            return
        if (bands == null) {
            int[] argb = image.getRGB(left - x, top - y, wide, high, null, 0, wide)
            target.setRGB(left, top, wide, high, argb, 0, wide)
            return
        }
        for (int band = 0; band < bands.length; band++) {
            float[] values = new float[wide * high]
            image.getRaster().getSamples(left - x, top - y, wide, high, bands[band], values)
            target.getRaster().setSamples(left, top, wide, high, band, values)
        }
    }

    /** Return the displayed value at a place; NaN if there is none or it has not been read yet. */
    double valueAt(double x, double y) {
        for (int level = 0; level < nResolutions(); level++) {
            def tile = getTileRequestManager().getTileRequest(level, (int) Math.floor(x), (int) Math.floor(y), 0, 0)
            def image = tile == null ? null : getCachedTile(tile)
            if (image == null)
                continue
            int col = (int) Math.floor(x / l0Pixel(level)) - tile.getTileX()
            int row = (int) Math.floor(y / l0Pixel(level)) - tile.getTileY()
            if (col >= 0 && row >= 0 && col < image.getWidth() && row < image.getHeight())
                return image.getRaster().getSampleDouble(col, row, 0)
        }
        return Double.NaN
    }

    boolean hasValues() { return bands != null }

    @Override protected ImageServerBuilder.ServerBuilder<BufferedImage> createServerBuilder() { return null }
    @Override protected String createID() { return id }
    @Override Collection<URI> getURIs() { return source.getURIs() }
    @Override String getServerType() { return 'Heatmap in the frame of a slide' }
    @Override ImageServerMetadata getOriginalMetadata() { return metadata }
}

/** Opacity of values: transparent without a value, and fading if the map fades. */
@CompileStatic
class Opacity implements DoubleToIntFunction {
    private final boolean fades
    private final double lower, upper

    Opacity(boolean fades, double lower, double upper) {
        this.fades = fades
        this.lower = lower
        this.upper = upper
    }

    @Override
    int applyAsInt(double value) {
        if (Double.isNaN(value))
            return 0
        return fades ? (int) Math.round(255 * Math.max(0d, Math.min(1d, (value - lower) / (upper - lower)))) : 255
    }
}

/** A viewer with one of the slide's maps on it. */
class HeatmapViewer {
    final Object viewer
    final Object imageData
    final SlideResults results
    Map map
    PixelClassificationOverlay overlay
    private final Map<File, ImageServer> servers = [:]

    HeatmapViewer(viewer, imageData, SlideResults results) {
        this.viewer = viewer
        this.imageData = imageData
        this.results = results
    }

    /** Return the maps that can be displayed. */
    List<Map> maps() { return results.said.maps.findAll { fileOf(it) != null } }

    private boolean showsValues(Map map) {
        // the colours of a map with a note do not follow the values alone
        return map.channel != null && !map.note && results.file(results.said.values_tiff) != null
    }

    private File fileOf(Map map) {
        return showsValues(map) ? results.file(results.said.values_tiff) : results.file(map.overlay)
    }

    /** Replace the map on the slide. */
    void show(Map map) {
        boolean values = showsValues(map)
        def file = fileOf(map)
        def source = servers.computeIfAbsent(file, { ImageServers.buildServer(it.toURI()) } as Function)
        def fading = map.opacity.fades_with
        def channels = values ? (fading ? [map.channel, fading.channel] : [map.channel]) : null
        def model = values ? colourModel(map) : null
        def scale = scaleOf(source, file)
        def aligned = new AlignedServer(imageData.getServer(), source, scale, results, channels, model)
        def ours = { data -> data == imageData ? aligned : null } as Function
        def renderer = values ? new ColorModelRenderer(model) : null
        def overlay = PixelClassificationOverlay.create(viewer.getOverlayOptions(), ours, renderer)
        overlay.setLivePrediction(true)     // read tiles when they come into view
        overlay.setOpacity(values ? map.opacity.alpha as double : 1.0d)
        def tell = { data, x, y, z, t -> data == imageData ? told(map, aligned, x, y) : null }
        overlay.setLocationStringFunction(tell as AbstractOverlay.LocationStringFunction)
        replace(overlay)
        this.map = map
    }

    private static String told(Map map, AlignedServer server, double x, double y) {
        if (!server.hasValues())
            return map.title
        double value = server.valueAt(x, y)
        return Double.isNaN(value) ? null : "${map.title}: ${number(value)}"
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
        overlay.stop()
        viewer.repaint()
        servers.values().each { it.close() }
    }

    private ColorModel colourModel(Map map) {
        // band 0 holds the values; if the map fades, band 1 holds the values it fades with
        def fading = map.opacity.fades_with
        def opacity = fading ? new Opacity(true, fading.lower, fading.upper) : new Opacity(false, 0, 1)
        return ColorModelFactory.createColorModel(PixelType.FLOAT32, SlideResults.colourMap(map), 0,
            map.range.lower as double, map.range.upper as double, fading ? 1 : 0, opacity)
    }

    /** Return the width and height of an overlay's pixel in level-0 pixels of the slide. */
    private double scaleOf(ImageServer source, File file) {
        def size = source.getPixelCalibration(), whole = results.said.slide
        if (!size.hasPixelSizeMicrons())
            throw new Refusal("${file} says nothing of its pixel size; run heatmaps-ome again.")
        double x = size.getPixelWidthMicrons() / whole.mpp.x, y = size.getPixelHeightMicrons() / whole.mpp.y
        if (Math.abs(x - y) > 0.001 * x)
            throw new Refusal("${file} has pixels of ${number(x)} x ${number(y)} pixels of the slide; " +
                "QuPath can only show square ones.")
        double scale = Math.abs(x - Math.rint(x)) < 0.001 * x ? Math.rint(x) : x
        if (source.getWidth() * scale < whole.cols || source.getHeight() * scale < whole.rows)
            throw new Refusal("${file} does not cover the slide: it is of another one.")
        return scale
    }

    static String number(double value) { return String.format(Locale.ROOT, '%.3g', value) }
}

/** The window beside the slide: the map, its opacity, and the meaning of its colours. */
class HeatmapWindow {
    private static final String KEY = 'heatmaps-ome'
    private final HeatmapViewer shown
    private final Stage stage = new Stage()
    private final ImageView legend = new ImageView()
    private final Label quantity = new Label(), lower = new Label(), middle = new Label(), upper = new Label()
    private final Slider opacity = new Slider(0, 1, 1)

    HeatmapWindow(HeatmapViewer shown) {
        this.shown = shown
        def choice = new ComboBox()
        choice.getItems().addAll(shown.maps().collect { it.title })
        choice.setValue(shown.map.title)
        choice.setOnAction { change(shown.maps().find { it.title == choice.getValue() }) }
        choice.setMaxWidth(Double.MAX_VALUE)
        def follow = { property, before, now -> shown.setOpacity(now as double) }
        opacity.valueProperty().addListener(follow as ChangeListener)
        def close = new Button('Remove heatmap')
        close.setOnAction { stage.close() }
        close.setMaxWidth(Double.MAX_VALUE)
        quantity.setWrapText(true)
        quantity.setMaxWidth(256)
        def numbers = new BorderPane(middle, null, upper, null, lower)
        def box = new VBox(6, choice, legend, numbers, quantity, new Label('Opacity'), opacity, close)
        box.setStyle('-fx-padding: 10;')
        stage.setScene(new Scene(box))
        stage.setTitle(shown.results.said.slide.name)
        def owner = QPEx.getQuPath()?.getStage()
        if (owner != null)
            stage.initOwner(owner)      // stays before QuPath's window, not before other programs'
        stage.setResizable(false)
        stage.setOnHidden { shown.remove() }
        describe()
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

    private void change(Map map) {
        try {
            shown.show(map)
            describe()
        } catch (Refusal | IOException e) {
            Dialogs.showErrorMessage('Heatmap', e.getMessage())
        }
    }

    private void describe() {
        def map = shown.map
        legend.setImage(bar(map))
        quantity.setText(map.quantity as String)
        double first = map.range.lower, last = map.range.upper
        lower.setText(HeatmapViewer.number(first))
        middle.setText(HeatmapViewer.number((first + last) / 2))
        upper.setText(HeatmapViewer.number(last))
        if (map.categories) {
            // kinds of cells have names instead of numbers
            [lower, middle, upper].each { it.setText('') }
            quantity.setText("${map.quantity}, from left to right: ${map.categories.join(', ')}" as String)
        }
        opacity.setValue(shown.overlay.getOpacity())
    }

    private static WritableImage bar(Map map) {
        def image = new WritableImage(256, 14)
        SlideResults.colours(map).eachWithIndex { int rgb, int x ->
            for (int y = 0; y < 14; y++)
                image.getPixelWriter().setArgb(x, y, (255 << 24) | rgb)
        }
        return image
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
    def maps = heatmap.maps()
    if (maps.isEmpty())
        throw new Refusal("There is no map in ${results.folder}; run heatmaps-ome with --formats ome-tiff.")
    def titles = maps.collect { it.title as String }
    def title = open.given.size() > 1 ? open.given[1] : Dialogs.showChoiceDialog('Heatmap', 'Map to show', titles, titles[0])
    if (title == null)
        return
    heatmap.show(results.map(maps, title))
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
