package javafx.beans.value

interface ChangeListener { void changed(Object property, Object before, Object now) }

/** A value that tells its listeners when it changes. */
class Property {
    private Object value
    final List<ChangeListener> listeners = []
    Object get() { value }

    void set(Object now) {
        def before = value
        value = now
        if (before != now)
            new ArrayList(listeners).each { it.changed(this, before, now) }
    }

    void addListener(ChangeListener listener) { listeners << listener }
    void removeListener(ChangeListener listener) { listeners.remove(listener) }
}
