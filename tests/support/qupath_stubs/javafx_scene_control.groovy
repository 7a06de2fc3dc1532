package javafx.scene.control

class Button { Button(String text) { } }

class ComboBox { }

class Label {
    Label() { }
    Label(String text) { }
}

class Slider { Slider(double lower, double upper, double value) { } }
