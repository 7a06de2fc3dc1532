package javafx.scene.layout

import javafx.scene.control.Items

class BorderPane {
    final List children
    BorderPane(Object centre, Object top, Object right, Object bottom, Object left) { children = [left, centre, right] }
}

class VBox {
    String style
    final Items children = new Items()
    VBox(double gap, Object... children) { this.children.addAll(children as List) }
}
