package qupath.lib.roi

class RectangleROI {
    double x, y, width, height
}

class ROIs {
    static RectangleROI createRectangleROI(double x, double y, double width, double height, Object plane) {
        return new RectangleROI(x: x, y: y, width: width, height: height)
    }
}
