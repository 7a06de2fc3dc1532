/*
 * Converts images with Bio-Formats, one after another in one java machine: each line of the input
 * is the JSON list of the converter's arguments, each line of the output what came of it.
 */
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import loci.formats.ImageWriter
import loci.formats.tools.ImageConverter

def answers = System.out
System.in.eachLine('UTF-8') { line ->
    def said = new ByteArrayOutputStream()
    def kept = new PrintStream(said, true, 'UTF-8')
    System.setOut(kept)
    System.setErr(kept)
    boolean done = false
    try {
        done = new ImageConverter().testConvert(new ImageWriter(), new JsonSlurper().parseText(line) as String[])
    } catch (Exception failure) {
        failure.printStackTrace(kept)
    }
    answers.println(JsonOutput.toJson([done: done, said: said.toString('UTF-8')]))
    answers.flush()
}
