package javafx.scene.image

class ImageView { }

class WritableImage { WritableImage(int width, int height) { } }
