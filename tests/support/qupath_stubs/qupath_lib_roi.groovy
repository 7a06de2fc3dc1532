package qupath.lib.roi

import java.awt.geom.AffineTransform
import java.awt.geom.Area
import java.awt.geom.Path2D
import java.awt.geom.PathIterator

class RectangleROI {
    double x, y, width, height
}

/** An area with holes, of straight sides. */
class AreaROI {
    final Path2D path

    AreaROI(Path2D path) { this.path = path }

    static AreaROI ofRings(List rings) {
        def path = new Path2D.Double(Path2D.WIND_EVEN_ODD)
        rings.each { ring ->
            ring.eachWithIndex { place, i -> i ? path.lineTo(place[0] as double, place[1] as double) : path.moveTo(place[0] as double, place[1] as double) }
            path.closePath()
        }
        return new AreaROI(path)
    }

    List<List<List<Double>>> rings() {
        def found = []
        double[] at = new double[6]
        for (def i = path.getPathIterator(null); !i.isDone(); i.next()) {
            int kind = i.currentSegment(at)
            if (kind == PathIterator.SEG_MOVETO)
                found << []
            if (kind != PathIterator.SEG_CLOSE)
                found[-1] << [at[0], at[1]]
        }
        return found
    }

    double getBoundsX() { path.getBounds2D().x }
    double getBoundsY() { path.getBounds2D().y }
    double getBoundsWidth() { path.getBounds2D().width }
    double getBoundsHeight() { path.getBounds2D().height }
    boolean isEmpty() { new Area(path).isEmpty() }

    AreaROI translate(double dx, double dy) {
        return new AreaROI(new Path2D.Double(path, AffineTransform.getTranslateInstance(dx, dy)))
    }
}

class ROIs {
    static RectangleROI createRectangleROI(double x, double y, double width, double height, Object plane) {
        return new RectangleROI(x: x, y: y, width: width, height: height)
    }
}

class RoiTools {
    static AreaROI intersection(Object... rois) {
        def (one, other) = rois as List
        def common = new Area(one.path)
        common.intersect(new Area(new java.awt.geom.Rectangle2D.Double(other.x, other.y, other.width, other.height)))
        return new AreaROI(new Path2D.Double(common))
    }
}
