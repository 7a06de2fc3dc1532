package qupath.lib.gui.scripting

/** What is open in QuPath; set by the test. */
class QPEx {
    static Object viewer, imageData, project
    static Object getCurrentViewer() { viewer }
    static Object getCurrentImageData() { imageData }
    static Object getProject() { project }
    static Object getQuPath() { null }
}
