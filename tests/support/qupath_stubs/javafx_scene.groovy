package javafx.scene

class Scene { Scene(Object root) { } }
