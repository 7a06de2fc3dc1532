package javafx.scene

class Scene {
    final Object root
    Scene(Object root) { this.root = root }
}
