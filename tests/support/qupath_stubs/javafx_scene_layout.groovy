package javafx.scene.layout

class BorderPane { BorderPane(Object... children) { } }

class VBox { VBox(double gap, Object... children) { } }
