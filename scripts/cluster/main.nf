// Nextflow: nextflow run scripts/cluster/main.nf --slides cohort.csv --model export.pkl \
//   --true_class MSIH --output results --shards 8 --options '--extractor-weights /data/best_ckpt.pth'
// Paths are those of a disk that all nodes share. With -resume, or anew, only what is missing is done.
params.shards = 1
params.options = ''
// 1: some slides failed, as the report tells; the others go on.
def accept = '|| [ $? -eq 1 ]'
def output = file(params.output).toAbsolutePath()

process maps {
    tag "${shard}"; cpus 4; memory '8 GB'; accelerator 1; errorStrategy 'retry'; maxRetries 2
    input: val shard
    output: val shard
    script: "heatmaps-ome maps --slides '${file(params.slides)}' -m '${file(params.model)}' -t '${params.true_class}' -o '${output}' ${params.options} --shard ${shard}/${params.shards} ${accept}"
}
process fit {
    input: val shards
    output: val true
    script: "heatmaps-ome fit '${output}'"
}
process draw {
    tag "${shard}"; cpus 4; memory '8 GB'; errorStrategy 'retry'; maxRetries 2
    input: tuple val(shard), val(fitted)
    output: val shard
    script: "heatmaps-ome draw '${output}' --shard ${shard}/${params.shards} ${accept}"
}
process collect {
    input: val shards
    script: "heatmaps-ome collect '${output}'"
}
workflow {
    shards = Channel.of(1..(params.shards as int))
    fit(maps(shards).collect())
    collect(draw(shards.combine(fit.out)).collect())
}
