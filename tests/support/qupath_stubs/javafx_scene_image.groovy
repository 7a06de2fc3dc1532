package javafx.scene.image

class ImageView { WritableImage image }

class WritableImage {
    final int width, height
    final int[] argb
    WritableImage(int width, int height) {
        this.width = width
        this.height = height
        argb = new int[width * height]
    }
    WritableImage getPixelWriter() { this }
    void setArgb(int x, int y, int value) { argb[y * width + x] = value }
}
