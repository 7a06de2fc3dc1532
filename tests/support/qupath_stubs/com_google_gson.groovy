package com.google.gson

import groovy.json.JsonException
import groovy.json.JsonSlurper

/** Reads JSON as Gson does: every number is a double. */
class Gson {
    Object fromJson(Reader reader, Class type) {
        try {
            return plain(new JsonSlurper().parse(reader))
        } catch (JsonException e) {
            throw new JsonParseException(e.getMessage())
        }
    }

    private static Object plain(Object value) {
        if (value instanceof Map)
            return value.collectEntries { name, each -> [(name): plain(each)] }
        if (value instanceof List)
            return value.collect { plain(it) }
        return value instanceof Number ? value.doubleValue() : value
    }
}

class JsonParseException extends RuntimeException {
    JsonParseException(String message) { super(message) }
}
