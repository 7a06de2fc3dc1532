package javafx.beans.value

interface ChangeListener { void changed(Object property, Object before, Object now) }
