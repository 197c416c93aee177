"""Parameters of networks whose topology evolves; their genomes and generations are in `hornlib.evolution`."""
