/*
 * Runs our scripts for QuPath, with small stand-ins of its classes, on the cases that a JSON file
 * lists, and writes what they showed or imported: args are that file and a folder for the answers.
 */
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import java.nio.ByteBuffer
import java.nio.file.Paths
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.lib.gui.scripting.QPEx
import qupath.lib.images.servers.BlankServer
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.images.servers.PixelCalibration
import qupath.lib.objects.PathAnnotation

/** A viewer that remembers what is shown on it. */
class Viewer {
    final Expando overlayOptions = new Expando(
        setShowPixelClassification: { delegate.showPixelClassification = it }, setShowDetections: { },
        setFillDetections: { delegate.fill = it }, setMeasurementMapper: { delegate.mapper = it })
    Object customPixelLayerOverlay
    Object imageData
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

    /** Write all tiles of a level, put together, as big-endian numbers, and return what is needed to read them. */
    Map dumpedLevel(server, int level, String name) {
        def size = server.getMetadata().getLevel(level)
        int bands = server.hasValues() ? server.getMetadata().channels.size() : 1
        def out = ByteBuffer.allocate(4 * bands * size.width * size.height)
        server.tilesOf(level).each { tile ->
            def image = server.readRegion(tile.getRegionRequest())
            assert image.getWidth() == tile.tileWidth && image.getHeight() == tile.tileHeight
            Dump.into(image, tile.tileX, tile.tileY, size.width, size.height, server.hasValues() ? bands : 0, out)
        }
        new File(answers, name).bytes = out.array()
        return [file: name, rows: size.height, cols: size.width, bands: bands, downsample: size.downsample]
    }

    Map shown(Viewer viewer, imageData, Map asked, int number) {
        def overlay = viewer.customPixelLayerOverlay
        if (overlay == null)
            return null
        def server = overlay.servers.apply(imageData)
        assert overlay.servers.apply('another slide') == null && overlay.livePrediction
        def levels = (0..<server.nResolutions()).collect { dumpedLevel(server, it, "${number}-${it}.raw") }
        def colours = (asked.pixels ?: []).collect { pixel -> overlay.renderer.model.argb(pixel as float[]) }
        def told = (asked.places ?: []).collect { x, y -> overlay.locationStringFunction.getLocationString(imageData, x, y, 0, 0) }
        return [levels: levels, float: server.hasValues(), opacity: overlay.opacity, colours: colours, told: told,
                width: server.getWidth(), height: server.getHeight(), channels: server.getMetadata().channels*.name,
                um: server.getPixelCalibration().pixelWidthMicrons, visible: viewer.overlayOptions.showPixelClassification]
    }

    Map run(Map asked, int number) {
        def slide = asked.slide
        def metadata = new ImageServerMetadata(width: slide.width, height: slide.height, name: 'as QuPath calls it',
            calibration: new PixelCalibration(pixelWidthMicrons: 9, pixelHeightMicrons: 9))
        def server = new BlankServer(originalMetadata: metadata, URIs: slide.uri ? [new URI(slide.uri)] : [])
        def hierarchy = new Hierarchy(), viewer = asked.headless ? null : new Viewer()
        def imageData = new Expando(server: server, hierarchy: hierarchy, getServer: { server }, getHierarchy: { hierarchy })
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
        def said = new StringWriter()
        hierarchy.tileObjects = (asked.others ?: []).collect { new Expando(name: it, getName: { delegate.name }) }
        hierarchy.annotationObjects = (asked.annotations ?: []).collect { new PathAnnotation(name: it) }
        (asked.times ?: 1).times {
            def binding = new Binding(out: new PrintWriter(said, true))
            new GroovyShell(this.class.classLoader, binding).run(new File(asked.script), (asked.args ?: []) as String[])
        }
        return [said: said.toString(), errors: Dialogs.errors, choices: Dialogs.choices,
                overlay: viewer == null ? null : shown(viewer, imageData, asked, number),
                tiles: hierarchy.tileObjects.collect { told(it) },
                annotations: hierarchy.annotationObjects.collect { annotated(it) }, mapper: mapper(viewer, asked)]
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
                colour: annotation.pathClass?.color, values: annotation.measurementList.values]
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
    static void into(java.awt.image.BufferedImage image, int left, int top, int width, int height, int bands, ByteBuffer out) {
        for (int y = 0; y < image.getHeight(); y++)
            for (int x = 0; x < image.getWidth(); x++) {
                int pixel = (top + y) * width + left + x
                if (bands == 0)
                    out.putInt(4 * pixel, image.getRGB(x, y))
                for (int band = 0; band < bands; band++)
                    out.putFloat(4 * (band * width * height + pixel), image.getRaster().getSampleFloat(x, y, band))
            }
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
