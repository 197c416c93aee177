"""Evolution of networks without gradients: genomes, mutations, ranks, species, and the evaluation of a population."""
