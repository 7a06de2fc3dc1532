// A stand-in for Nextflow's language: reads a workflow as Groovy, runs its channels in order, and
// prints each task's process and command. Unknown directives, operators and names are errors.
//
//     groovy nextflow_language.groovy main.nf '{"slides": "cohort.csv", …}'

import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import org.codehaus.groovy.control.CompilerConfiguration

class Symbol { String name; String toString() { name } }

/** What stands in a process: directives, declarations and, as its value, the script. */
class Body {
    static final DIRECTIVES = ['tag', 'cpus', 'memory', 'accelerator', 'errorStrategy', 'maxRetries']
    Workflow script
    Map bound = null
    List declared = []

    def val(value) { [value] }
    def tuple(Object... parts) { parts.sum() }
    def file(path) { script.file(path) }
    def getParams() { script.params }

    def methodMissing(String name, args) {
        if (!(name in DIRECTIVES)) throw new MissingMethodException(name, Body, args as Object[])
    }

    def propertyMissing(String name) {
        if (bound == null) return new Symbol(name: name)
        if (!bound.containsKey(name)) throw new MissingPropertyException(name, Body)
        bound[name]
    }
}

class Declaring extends Body {
    // Declarations in their order: the first is the input, the second the output.
    def val(value) { declared << [value]; [value] }
    def tuple(Object... parts) {
        declared = declared.dropRight(parts.size())
        declared << parts.sum()
        parts.sum()
    }
}

class Channel {
    List items
    Channel collect() { new Channel(items: [items]) }
    Channel combine(Channel other) {
        new Channel(items: [items, other.items].combinations().collect { it.flatten() })
    }
}

class Channels { Channel of(Object... values) { new Channel(items: values.toList().flatten()) } }

abstract class Workflow extends Script {
    Map processes = [:]
    Map outputs = [:]
    List tasks = []
    Channels channel = new Channels()

    def file(path) { new File(path.toString()).absoluteFile.toPath().normalize() }

    def workflow(Closure body) {
        body.delegate = this
        body.call()
    }

    def process(definition) { processes[definition.name] = definition.body }

    def propertyMissing(String name) {
        if (!outputs.containsKey(name)) throw new MissingPropertyException(name, Workflow)
        [out: outputs[name]]
    }

    def methodMissing(String name, arguments) {
        def given = arguments[0]
        if (given instanceof Closure) return [name: name, body: given]
        if (!(given instanceof Channel) || !processes.containsKey(name)) {
            throw new MissingMethodException(name, Workflow, arguments as Object[])
        }
        if (outputs.containsKey(name)) throw new IllegalStateException("$name is called twice")
        outputs[name] = new Channel(items: given.items.collect { task(name, it) })
    }

    Object evaluated(String name, Body body) {
        def code = processes[name].rehydrate(body, this, this)
        code.resolveStrategy = Closure.DELEGATE_ONLY
        code.call()
    }

    Object task(String name, item) {
        def reading = new Declaring(script: this)
        evaluated(name, reading)
        def (inputs, output) = [reading.declared[0], reading.declared[1]]
        def values = inputs.size() == 1 ? [item] : item
        if (values.size() != inputs.size()) throw new IllegalStateException("$name: other inputs")
        def body = new Body(script: this, bound: [inputs*.name, values].transpose().collectEntries())
        tasks << [process: name, command: evaluated(name, body).toString()]
        output == null ? null : output[0] instanceof Symbol ? body.bound[output[0].name] : output[0]
    }
}

def config = new CompilerConfiguration(scriptBaseClass: Workflow.name)
def shell = new GroovyShell(getClass().classLoader, new Binding(), config)
def script = shell.parse(new File(args[0]))
// What the command line gives counts more than what the file sets.
def given = new JsonSlurper().parseText(args[1])
script.binding.setVariable('params', new LinkedHashMap() {
    def put(key, value) { given.containsKey(key) ? null : super.put(key, value) }
})
given.each { key, value -> script.binding.getVariable('params').putAll([(key): value]) }
script.run()
println(JsonOutput.toJson(script.tasks))
