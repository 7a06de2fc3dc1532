package javafx.scene.control

import javafx.beans.value.Property

class Control {
    String style
    boolean disable
    double maxWidth
}

class Button extends Control {
    final String text
    Closure onAction
    Button(String text) { this.text = text }
}

class Items extends ArrayList {
    void setAll(Collection all) {
        clear()
        addAll(all)
    }
}

class ComboBox extends Control {
    final Items items = new Items()
    private Object value
    Closure onAction
    Object getValue() { value }

    /** Tell the action, as JavaFX does of a choice by program too. */
    void setValue(Object value) {
        boolean changes = this.value != value
        this.value = value
        if (changes && onAction != null)
            onAction.call()
    }
}

class Label extends Control {
    String text = ''
    boolean wrapText
    Label() { }
    Label(String text) { this.text = text }
}

class Slider extends Control {
    private final Property property = new Property()
    Slider(double lower, double upper, double value) { property.set(value) }
    double getValue() { property.get() }
    void setValue(double value) { property.set(value) }
    Property valueProperty() { property }
}
