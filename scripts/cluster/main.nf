// Nextflow: nextflow run scripts/cluster/main.nf --slides cohort.csv --model export.pkl \
//   --true_class MSIH --output results --shards 8 --options '--extractor-weights /data/best_ckpt.pth'
// The folders are on a disk that all nodes share. Run again, it does only what is missing.
params.shards = 1
params.options = ''

process MAPS {
    tag "${shard}"
    cpus 4
    memory '8 GB'
    accelerator 1
    errorStrategy 'retry'
    maxRetries 2

    input:
    val shard

    output:
    val shard

    // 1: some slides failed, as the report tells; the others go on.
    script:
    """
    heatmaps-ome maps --slides '${file(params.slides)}' -m '${file(params.model)}' \\
        -t '${params.true_class}' -o '${file(params.output)}' ${params.options} \\
        --shard ${shard}/${params.shards} || [ \$? -eq 1 ]
    """
}

process FIT {
    input:
    val shards

    output:
    val true

    script:
    "heatmaps-ome fit '${file(params.output)}'"
}

process DRAW {
    tag "${shard}"
    cpus 4
    memory '8 GB'
    errorStrategy 'retry'
    maxRetries 2

    input:
    tuple val(shard), val(fitted)

    output:
    val shard

    script:
    "heatmaps-ome draw '${file(params.output)}' --shard ${shard}/${params.shards} || [ \$? -eq 1 ]"
}

process COLLECT {
    input:
    val shards

    script:
    "heatmaps-ome collect '${file(params.output)}'"
}

workflow {
    MAPS(channel.of(1..(params.shards as Integer)))
    FIT(MAPS.out.collect())
    DRAW(MAPS.out.combine(FIT.out))
    COLLECT(DRAW.out.collect())
}
