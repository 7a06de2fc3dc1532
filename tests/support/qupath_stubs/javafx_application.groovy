package javafx.application

/** Runs at once what JavaFX would run on its thread. */
class Platform {
    static void runLater(Runnable work) { work.run() }
}
