package qupath.lib.objects.classes

/** A class of QuPath: its name may have no line breaks, and a colon would make it a derived one. */
class PathClass {
    private static final Map<String, PathClass> known = [:]
    final String name
    final Integer color

    private PathClass(String name, Integer color) {
        this.name = name
        this.color = color
    }

    static PathClass fromString(String name, Integer color = null) {
        assert name.trim() == name && name && !name.find(/[\r\n:]/)
        return known.computeIfAbsent(name) { new PathClass(it, color) }
    }
}
