package qupath.lib.gui.images.stores

import java.awt.image.ColorModel

class ColorModelRenderer {
    final ColorModel model
    ColorModelRenderer(ColorModel model) { this.model = model }
}
