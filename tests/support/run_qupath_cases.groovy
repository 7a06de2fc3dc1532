/*
 * Runs our scripts for QuPath, with small stand-ins of its classes, on the cases that a JSON file
 * lists, and writes what they showed or imported: args are that file and a folder for the answers.
 */
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import java.awt.image.BufferedImage
import java.nio.ByteBuffer
import java.nio.file.Files
import java.nio.file.Paths
import java.nio.file.StandardCopyOption
import javafx.beans.value.Property
import javafx.stage.Stage
import javafx.stage.Window
import org.codehaus.groovy.runtime.InvokerHelper
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.lib.gui.scripting.QPEx
import qupath.lib.images.ImageData
import qupath.lib.images.servers.BlankServer
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.images.servers.PixelCalibration
import qupath.lib.objects.PathAnnotation

/** A viewer that remembers what is shown on it. */
class Viewer {
    final Expando overlayOptions = new Expando(
        setShowPixelClassification: { delegate.showPixelClassification = it }, setShowDetections: { },
        setFillDetections: { delegate.fill = it }, setMeasurementMapper: { delegate.mapper = it })
    private final Property shown = new Property()
    Object customPixelLayerOverlay
    Object getImageData() { shown.get() }
    void setImageData(Object now) { shown.set(now) }
    Property imageDataProperty() { shown }
    void resetCustomPixelLayerOverlay() { customPixelLayerOverlay = null }
    void repaint() { }
}

/** Holds objects as QuPath's hierarchy does. */
class Hierarchy {
    List tileObjects = [], annotationObjects = []
    void removeObjects(Collection objects, boolean keepChildren) {
        tileObjects = tileObjects - objects
        annotationObjects = annotationObjects - objects
    }
    void addObjects(Collection objects) {
        def (annotations, tiles) = objects.split { it instanceof PathAnnotation }
        tileObjects = tileObjects + tiles
        annotationObjects = annotationObjects + annotations
    }
}

class Runner {
    File answers
    private final Map<String, Class> compiled = [:]

    /** Run a script anew, as QuPath does, but compile it once. */
    void start(String path, List args, Writer out) {
        def type = compiled.computeIfAbsent(path) { new GroovyClassLoader(this.class.classLoader).parseClass(new File(it)) }
        def binding = new Binding(out: new PrintWriter(out, true), args: args as String[])
        InvokerHelper.createScript(type, binding).run()
    }

    /** Write some tiles of a server as big-endian ARGB, and return what is needed to read them. */
    List<Map> dumped(server, List<Integer> levels, number) {
        levels.collectMany { level ->
            def size = server.getMetadata().getLevel(level), tiles = server.tilesOf(level)
            // the tiles of the finest levels are many
            def some = tiles.size() > 40 ? [tiles[tiles.size().intdiv(2)], tiles[-1]] : tiles
            some.withIndex().collect { tile, place ->
                def image = server.readRegion(tile.getRegionRequest())
                assert image.getType() == BufferedImage.TYPE_INT_ARGB
                assert image.getWidth() == tile.tileWidth && image.getHeight() == tile.tileHeight
                def name = "${number}-${level}-${place}.raw"
                new File(answers, name).bytes = Dump.bytes(image)
                return [file: name, downsample: size.downsample, left: tile.tileX, top: tile.tileY, rows: tile.tileHeight, cols: tile.tileWidth]
            }
        }
    }

    Map shown(Viewer viewer, imageData, Map asked, number) {
        def overlay = viewer.customPixelLayerOverlay
        if (overlay == null)
            return null
        def server = overlay.servers.apply(imageData)
        if (server == null)     // it is another slide's
            return null
        assert overlay.servers.apply('another slide') == null && overlay.livePrediction && overlay.renderer == null
        assert overlay.locationStringFunction.getLocationString('another slide', 1, 1, 0, 0) == null
        def told = (asked.places ?: []).collect { x, y -> overlay.locationStringFunction.getLocationString(imageData, x, y, 0, 0) }
        def sizes = (0..<server.nResolutions()).collect { server.getMetadata().getLevel(it) }
        return [tiles: dumped(server, (asked.levels ?: []) as List<Integer>, number), opacity: overlay.opacity, told: told,
                levels: sizes.collect { [it.downsample, it.width, it.height] }, rgb: server.isRGB(),
                width: server.getWidth(), height: server.getHeight(), visible: viewer.overlayOptions.showPixelClassification]
    }

    /** Return what the open window says and offers. */
    static Map window() {
        def stage = Window.windows ? Window.windows[0] : null
        if (stage == null)
            return null
        def all = stage.scene.root.children
        def (choice, bar, ends, kinds) = all.take(4)
        def texts = all.findAll { it instanceof javafx.scene.control.Label }*.text
        return [title: stage.title, choices: choice.items as List, chosen: choice.value, off: choice.disable, numbers: ends.children*.text,
                kinds: kinds.children.collect { [it.text, it.style] }, texts: texts,
                bar: bar.image == null ? null : [bar.image.width, bar.image.height, bar.image.argb as List],
                opacity: all.find { it instanceof javafx.scene.control.Slider }.value, count: Window.windows.size()]
    }

    static ImageData open(Map slide) {
        def metadata = new ImageServerMetadata(width: slide.width, height: slide.height, name: 'as QuPath calls it', rgb: slide.rgb != false,
            calibration: new PixelCalibration(pixelWidthMicrons: 9, pixelHeightMicrons: 9))
        def server = new BlankServer(originalMetadata: metadata, URIs: slide.uri ? [new URI(slide.uri)] : [])
        def data = new ImageData(server: server, hierarchy: new Hierarchy())
        if (slide.type)
            data.imageType = slide.type as ImageData.ImageType
        return data
    }

    /** Choose a map in the window. */
    static void choose(String title) { Window.windows[0].scene.root.children[0].value = title }

    Map run(Map asked, int number) {
        def imageData = open(asked.slide), viewer = asked.headless ? null : new Viewer()
        def hierarchy = imageData.hierarchy
        if (viewer != null)
            viewer.imageData = asked.batch ? 'another slide' : imageData
        QPEx.viewer = viewer
        QPEx.imageData = imageData
        QPEx.project = asked.project ? new Expando(getPath: { Paths.get(asked.project) }) : null
        Dialogs.errors = []
        Dialogs.choices = []
        Dialogs.answer = asked.answer
        Dialogs.confirmed = asked.confirmed != false
        FileChoosers.folder = asked.folder ? new File(asked.folder) : null
        Stage.possible = asked.screen != false
        Window.windows.clear()
        def said = new StringWriter()
        hierarchy.tileObjects = (asked.others ?: []).collect { new Expando(name: it, getName: { delegate.name }) }
        hierarchy.annotationObjects = (asked.annotations ?: []).collect { new PathAnnotation(name: it) }
        (asked.times ?: 1).times { time ->
            if (time && asked.replaced)
                Files.copy(Paths.get(asked.replaced[0]), Paths.get(asked.replaced[1]), StandardCopyOption.REPLACE_EXISTING)
            start(asked.script, asked.args ?: [], said)
        }
        def maps = [:]
        asked.maps?.each { title, places ->
            choose(title)
            maps[title] = shown(viewer, imageData, asked + [places: places], "${number}-${maps.size()}")
        }
        if (asked.choose)
            choose(asked.choose)
        if (asked.next) {
            imageData = open(asked.next)
            viewer.imageData = imageData
        }
        def answer = [maps: maps, said: said.toString(), errors: Dialogs.errors, choices: Dialogs.choices, type: imageData.imageType as String, window: window(),
                overlay: viewer == null ? null : shown(viewer, imageData, asked, number),
                tiles: hierarchy.tileObjects.collect { told(it) },
                annotations: hierarchy.annotationObjects.collect { annotated(it) }, mapper: mapper(viewer, asked)]
        if (asked.closed) {
            Window.windows[0].close()
            assert viewer.customPixelLayerOverlay == null && viewer.imageDataProperty().listeners.isEmpty()
        }
        return answer
    }

    static Map told(tile) {
        if (tile instanceof Expando)
            return [name: tile.name]
        def roi = tile.ROI
        return [name: tile.name, place: [roi.x, roi.y, roi.width, roi.height], class: tile.pathClass?.name,
                colour: tile.pathClass?.color, values: tile.measurementList.values]
    }

    static Map annotated(annotation) {
        return [name: annotation.name, rings: annotation.ROI?.rings(), class: annotation.pathClass?.name, locked: annotation.locked,
                colour: annotation.pathClass?.color, own: annotation.color, values: annotation.measurementList.values]
    }

    static Map mapper(Viewer viewer, Map asked) {
        def mapper = viewer?.overlayOptions?.mapper
        return mapper == null ? null : [
            measurement: mapper.measurement, lower: mapper.displayMinValue, upper: mapper.displayMaxValue,
            colours: [mapper.displayMinValue, mapper.displayMaxValue].collect { mapper.map.getColor(it, mapper.displayMinValue, mapper.displayMaxValue) }]
    }
}

@groovy.transform.CompileStatic
class Dump {
    static byte[] bytes(BufferedImage image) {
        int[] argb = image.getRGB(0, 0, image.getWidth(), image.getHeight(), null, 0, image.getWidth())
        def out = ByteBuffer.allocate(4 * argb.length)
        out.asIntBuffer().put(argb)
        return out.array()
    }
}

def runner = new Runner(answers: new File(args[1]))
def cases = new JsonSlurper().parse(new File(args[0]), 'UTF-8')
def answers = []
cases.eachWithIndex { asked, number ->
    try {
        answers << runner.run(asked, number)
    } catch (Throwable e) {
        def text = new StringWriter()
        e.printStackTrace(new PrintWriter(text))
        answers << [failed: text.toString().readLines().take(40).join('\n')]
    }
}
new File(runner.answers, 'answers.json').setText(JsonOutput.toJson(answers), 'UTF-8')
