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
import loci.common.DataTools
import loci.formats.ImageReader
import loci.formats.MetadataTools
import ome.units.UNITS
import qupath.lib.regions.ImageRegion

enum PixelType { UINT8, FLOAT32 }

class ImageChannel {
    String name
    static ImageChannel getInstance(String name, Integer colour) { new ImageChannel(name: name) }
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
    enum ChannelType { DEFAULT, FEATURE }

    int width, height, preferredTileWidth, preferredTileHeight
    String name
    List<ImageResolutionLevel> levels
    List<ImageChannel> channels
    PixelCalibration calibration
    ChannelType channelType = ChannelType.DEFAULT

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
            made = new ImageServerMetadata(name: from.name, channels: from.channels)
        }
        Builder width(int width) { made.width = width; this }
        Builder height(int height) { made.height = height; this }
        Builder channelType(ChannelType type) { made.channelType = type; this }
        Builder preferredTileSize(int width, int height) {
            made.preferredTileWidth = width
            made.preferredTileHeight = height
            return this
        }
        Builder pixelSizeMicrons(Number width, Number height) {
            made.calibration = new PixelCalibration(pixelWidthMicrons: width, pixelHeightMicrons: height)
            return this
        }
        Builder levels(Collection levels) { made.levels = levels as List; this }
        Builder channels(Collection channels) { made.channels = channels as List; this }
        ImageServerMetadata build() { made }
    }
}

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
    ImageChannel getChannel(int channel)
    ImageServerMetadata getMetadata()
    PixelCalibration getPixelCalibration()
    T readRegion(RegionRequest request)
    void close()
}

/** Cuts levels into tiles as QuPath does, and keeps those that were read. */
abstract class AbstractTileableImageServer implements ImageServer<BufferedImage> {
    private final Map<String, BufferedImage> cache = [:]

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
        return cache.computeIfAbsent("${request.level} ${tile.region}" as String) { readTile(tile) }
    }

    BufferedImage getCachedTile(TileRequest tile) { cache["${tile.level} ${tile.region}" as String] }
    def getTileRequestManager() { new TileRequestManager(server: this) }
}

class TileRequestManager {
    AbstractTileableImageServer server

    TileRequest getTileRequest(int level, int x, int y, int z, int t) {
        return server.tilesOf(level).find {
            x >= it.getImageX() && x < it.getImageX() + it.tileWidth * it.downsample &&
            y >= it.getImageY() && y < it.getImageY() + it.tileHeight * it.downsample
        }
    }
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

/** Opens OME-TIFF through Bio-Formats: RGBA with its alpha, or float channels. */
class BioFormatsServer extends AbstractTileableImageServer {
    private final ImageReader reader = new ImageReader()
    private final ImageServerMetadata metadata
    private final URI uri

    BioFormatsServer(URI uri) {
        this.uri = uri
        def described = MetadataTools.createOMEXMLMetadata()
        reader.setMetadataStore(described)
        reader.setFlattenedResolutions(false)
        reader.setId(new File(uri).getPath())
        def levels = (0..<reader.getResolutionCount()).collect {
            reader.setResolution(it)
            [reader.getSizeX(), reader.getSizeY()]
        }
        def made = levels.collect { wide, high ->
            double size = Math.rint(levels[0][0] / (double) wide)
            new ImageServerMetadata.ImageResolutionLevel(downsample: size, width: wide, height: high)
        }
        def names = (0..<described.getChannelCount(0)).collect { described.getChannelName(0, it) }
        metadata = new ImageServerMetadata(
            width: levels[0][0], height: levels[0][1], levels: made, name: new File(uri).getName(),
            preferredTileWidth: 256, preferredTileHeight: 256,
            channels: names.collect { new ImageChannel(name: it) },
            calibration: new PixelCalibration(
                pixelWidthMicrons: described.getPixelsPhysicalSizeX(0).value(UNITS.MICROMETER),
                pixelHeightMicrons: described.getPixelsPhysicalSizeY(0).value(UNITS.MICROMETER)))
    }

    @Override
    protected BufferedImage readTile(TileRequest tile) {
        reader.setResolution(tile.level)
        return reader.getRGBChannelCount() == 4 ? rgba(tile.region) : floats(tile.region)
    }

    private byte[] bytes(int plane, ImageRegion region) {
        reader.openBytes(plane, region.x, region.y, region.width, region.height)
    }

    private BufferedImage rgba(ImageRegion region) {
        def image = new BufferedImage(region.width, region.height, BufferedImage.TYPE_INT_ARGB)
        int pixels = region.width * region.height
        boolean mixed = reader.isInterleaved()
        image.setRGB(0, 0, region.width, region.height, Pixels.argb(bytes(0, region), pixels, mixed), 0, region.width)
        return image
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
}

class AnyFloats extends ColorModel {
    AnyFloats(int bands) { super(32 * bands) }
    @Override int getRed(int pixel) { 0 }
    @Override int getGreen(int pixel) { 0 }
    @Override int getBlue(int pixel) { 0 }
    @Override int getAlpha(int pixel) { 255 }
    @Override boolean isCompatibleRaster(Raster raster) { true }
}

@groovy.transform.CompileStatic
class Pixels {
    static int[] argb(byte[] bytes, int pixels, boolean mixed) {
        int[] found = new int[pixels]
        int step = mixed ? 4 : 1, apart = mixed ? 1 : pixels
        for (int i = 0; i < pixels; i++) {
            int at = i * step
            found[i] = ((bytes[at + 3 * apart] & 255) << 24) | ((bytes[at] & 255) << 16) |
                ((bytes[at + apart] & 255) << 8) | (bytes[at + 2 * apart] & 255)
        }
        return found
    }
}

class ImageServers {
    static ImageServer<BufferedImage> buildServer(URI uri, String... args) { new BioFormatsServer(uri) }
}
