package qupath.lib.images.servers

import java.awt.image.BandedSampleModel
import java.awt.image.BufferedImage
import java.awt.image.ColorModel
import java.awt.image.ComponentColorModel
import java.awt.image.DataBuffer
import java.awt.image.DataBufferFloat
import java.awt.image.Raster
import java.awt.color.ColorSpace
import java.awt.Transparency
import java.util.concurrent.ConcurrentHashMap
import loci.common.DataTools
import loci.formats.ImageReader
import loci.formats.MetadataTools
import ome.units.UNITS
import qupath.lib.regions.ImageRegion

enum PixelType { UINT8, FLOAT32 }

class ImageChannel {
    String name
    static List<ImageChannel> getDefaultRGBChannels() { ['Red', 'Green', 'Blue'].collect { new ImageChannel(name: it) } }
}

class PixelCalibration {
    double pixelWidthMicrons, pixelHeightMicrons
    boolean hasPixelSizeMicrons() { pixelWidthMicrons > 0 && pixelHeightMicrons > 0 }
}

class ImageServerBuilder {
    static class ServerBuilder<T> { }
}

/** The part of QuPath's metadata that the scripts use, with its own builders. */
class ImageServerMetadata {
    int width, height, preferredTileWidth, preferredTileHeight
    String name
    List<ImageResolutionLevel> levels
    List<ImageChannel> channels
    PixelCalibration calibration
    boolean rgb
    PixelType pixelType

    ImageResolutionLevel getLevel(int level) { levels[level] }

    static class ImageResolutionLevel {
        double downsample
        int width, height

        static class Builder {
            private final List found = []
            Builder(int width, int height) { }

            ImageResolutionLevel.Builder addLevel(double downsample, int width, int height) {
                found << new ImageResolutionLevel(downsample: downsample, width: width, height: height)
                return this
            }

            List build() { found }
        }
    }

    static class Builder {
        private final ImageServerMetadata made
        Builder(ImageServerMetadata from) {
            made = new ImageServerMetadata(width: from.width, height: from.height, name: from.name,
                channels: from.channels, calibration: from.calibration)
        }
        Builder name(String name) { made.name = name; this }
        Builder rgb(boolean rgb) { made.rgb = rgb; this }
        Builder pixelType(PixelType type) { made.pixelType = type; this }
        Builder preferredTileSize(int width, int height) {
            made.preferredTileWidth = width
            made.preferredTileHeight = height
            return this
        }
        Builder levels(Collection levels) { made.levels = levels as List; this }
        Builder channels(Collection channels) { made.channels = channels as List; this }
        ImageServerMetadata build() { made }
    }
}

@groovy.transform.Canonical
class RegionRequest {
    String path
    int level
    ImageRegion region
}

/** A tile at one level; getTileX and the like are pixels of the level, as in QuPath. */
class TileRequest {
    String path
    int level
    double downsample
    ImageRegion region

    static TileRequest createInstance(ImageServer server, int level, ImageRegion region) {
        double size = server.getDownsampleForResolution(level)
        return new TileRequest(path: server.getPath(), level: level, downsample: size, region: region)
    }

    RegionRequest getRegionRequest() { new RegionRequest(path: path, level: level, region: region) }
    int getTileX() { region.x }
    int getTileY() { region.y }
    int getTileWidth() { region.width }
    int getTileHeight() { region.height }
    int getImageX() { Math.round(region.x * downsample) as int }
    int getImageY() { Math.round(region.y * downsample) as int }
}

interface ImageServer<T> {
    String getPath()
    Collection<URI> getURIs()
    int getWidth()
    int getHeight()
    int nResolutions()
    double getDownsampleForResolution(int level)
    int nChannels()
    boolean isRGB()
    ImageChannel getChannel(int channel)
    ImageServerMetadata getMetadata()
    PixelCalibration getPixelCalibration()
    T readRegion(RegionRequest request)
    void close()
}

/** Has the tiles of all servers, by the servers' paths, as long as QuPath runs. */
class ImageServerProvider {
    private static final Map<RegionRequest, BufferedImage> cache = new ConcurrentHashMap<>()
    static Map<RegionRequest, BufferedImage> getCache(Class type) { cache }
}

/** Cuts levels into tiles as QuPath does, and keeps those that were read. */
abstract class AbstractTileableImageServer implements ImageServer<BufferedImage> {
    protected abstract BufferedImage readTile(TileRequest tile) throws IOException
    protected abstract ImageServerBuilder.ServerBuilder<BufferedImage> createServerBuilder()
    protected abstract String createID()
    abstract String getServerType()
    abstract ImageServerMetadata getOriginalMetadata()

    String getPath() { createID() }
    ImageServerMetadata getMetadata() { getOriginalMetadata() }
    int getWidth() { getMetadata().width }
    int getHeight() { getMetadata().height }
    int nResolutions() { getMetadata().levels.size() }
    double getDownsampleForResolution(int level) { getMetadata().levels[level].downsample }
    int nChannels() { getMetadata().channels.size() }
    boolean isRGB() { getMetadata().rgb }
    ImageChannel getChannel(int channel) { getMetadata().channels[channel] }
    PixelCalibration getPixelCalibration() { getMetadata().calibration }
    void close() { }

    List<TileRequest> tilesOf(int level) {
        def size = getMetadata().getLevel(level)
        int wide = getMetadata().preferredTileWidth, high = getMetadata().preferredTileHeight
        def tiles = []
        for (int y = 0; y < size.height; y += high)
            for (int x = 0; x < size.width; x += wide) {
                def region = ImageRegion.createInstance(
                    x, y, Math.min(wide, size.width - x), Math.min(high, size.height - y), 0, 0)
                tiles << TileRequest.createInstance(this, level, region)
            }
        return tiles
    }

    /** Reads whole tiles only: of other regions QuPath drops alpha, so that the scripts must not ask. */
    BufferedImage readRegion(RegionRequest request) {
        def tile = tilesOf(request.level).find { it.region == request.region }
        assert tile != null && request.path == getPath(), 'not a tile'
        return ImageServerProvider.getCache(BufferedImage).computeIfAbsent(request) { readTile(tile) }
    }

    def getTileRequestManager() { new TileRequestManager(server: this) }
}

class TileRequestManager {
    AbstractTileableImageServer server

    Collection<TileRequest> getTileRequestsForLevel(int level) { server.tilesOf(level) }
}

/** A slide of which only the size matters. */
class BlankServer extends AbstractTileableImageServer {
    ImageServerMetadata originalMetadata
    Collection<URI> URIs
    @Override protected BufferedImage readTile(TileRequest tile) { null }
    @Override protected ImageServerBuilder.ServerBuilder<BufferedImage> createServerBuilder() { null }
    @Override protected String createID() { URIs.toString() }
    @Override String getServerType() { 'blank' }
}

/** Opens an OME-TIFF of float channels through Bio-Formats. */
class BioFormatsServer extends AbstractTileableImageServer {
    private final ImageReader reader = new ImageReader()
    private final ImageServerMetadata metadata
    private final URI uri

    BioFormatsServer(URI uri) {
        this.uri = uri
        def described = MetadataTools.createOMEXMLMetadata()
        reader.setMetadataStore(described)
        try {
            reader.setId(new File(uri).getPath())
        } catch (Exception e) {
            throw new IOException(e)
        }
        int wide = reader.getSizeX(), high = reader.getSizeY()
        def names = (0..<described.getChannelCount(0)).collect { described.getChannelName(0, it) }
        metadata = new ImageServerMetadata(
            width: wide, height: high, name: new File(uri).getName(), pixelType: PixelType.FLOAT32,
            levels: [new ImageServerMetadata.ImageResolutionLevel(downsample: 1, width: wide, height: high)],
            preferredTileWidth: 256, preferredTileHeight: 256,
            channels: names.collect { new ImageChannel(name: it) },
            calibration: new PixelCalibration(
                pixelWidthMicrons: described.getPixelsPhysicalSizeX(0).value(UNITS.MICROMETER),
                pixelHeightMicrons: described.getPixelsPhysicalSizeY(0).value(UNITS.MICROMETER)))
    }

    @Override
    protected BufferedImage readTile(TileRequest tile) { floats(tile.region) }

    private byte[] bytes(int plane, ImageRegion region) {
        reader.openBytes(plane, region.x, region.y, region.width, region.height)
    }

    private BufferedImage floats(ImageRegion region) {
        int bands = reader.getSizeC(), pixels = region.width * region.height
        def buffer = new DataBufferFloat(pixels, bands)
        for (int band = 0; band < bands; band++) {
            float[] values = DataTools.makeDataArray(bytes(band, region), 4, true, reader.isLittleEndian())
            System.arraycopy(values, 0, buffer.getData(band), 0, pixels)
        }
        def layout = new BandedSampleModel(DataBuffer.TYPE_FLOAT, region.width, region.height, bands)
        def raster = Raster.createWritableRaster(layout, buffer, null)
        return new BufferedImage(new AnyFloats(bands), raster, false, null)
    }

    @Override protected ImageServerBuilder.ServerBuilder<BufferedImage> createServerBuilder() { null }
    @Override protected String createID() { uri.toString() }
    @Override Collection<URI> getURIs() { [uri] }
    @Override String getServerType() { 'Bio-Formats' }
    @Override ImageServerMetadata getOriginalMetadata() { metadata }
    @Override void close() { reader.close() }
}

class AnyFloats extends ColorModel {
    AnyFloats(int bands) { super(32 * bands) }
    @Override int getRed(int pixel) { 0 }
    @Override int getGreen(int pixel) { 0 }
    @Override int getBlue(int pixel) { 0 }
    @Override int getAlpha(int pixel) { 255 }
    @Override boolean isCompatibleRaster(Raster raster) { true }
}

class ImageServers {
    static ImageServer<BufferedImage> buildServer(URI uri, String... args) { new BioFormatsServer(uri) }
}
