package javafx.stage

/** Can be opened, or not, as on a machine without a screen. */
class Stage extends Window {
    static boolean possible = true
    String title
    Object scene
    boolean resizable
    Closure onHidden

    Stage() {
        if (!possible)
            throw new IllegalStateException('no screen')
    }

    void show() { open << this }
    void close() { hide() }
    void sizeToScene() { }

    @Override
    void hide() {
        if (open.remove((Object) this))
            onHidden?.call(null)
    }
}

abstract class Window {
    static final List<Window> open = []
    final Map properties = [:]
    static List<Window> getWindows() { open }
    abstract void hide()
}
