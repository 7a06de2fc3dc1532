package qupath.fx.dialogs

/** Remembers what was asked and said, and gives answers set before. */
class Dialogs {
    static List<String> errors = []
    static List<String> choices = []
    static Object answer
    static boolean confirmed = true

    static Object showChoiceDialog(String title, String text, Collection choices, Object first) {
        this.choices = choices as List
        return answer
    }

    static boolean showConfirmDialog(String title, String text) { confirmed }

    static void showErrorMessage(String title, String text) { errors << text }
}

class FileChoosers {
    static File folder
    static File promptForDirectory(String title, File first) { folder }
}
