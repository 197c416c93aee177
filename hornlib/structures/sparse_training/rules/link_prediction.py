"""Link prediction in one layer: places between units that are joined by many paths of three connections."""

import torch
from torch import Tensor

__all__ = ["path_flops", "path_scores"]


def path_scores(mask: Tensor) -> Tensor:
    """Return the score CH2-L3n of every place, (outputs, inputs); those of existing connections mean nothing.

    A layer is a bipartite graph of its output units u and its inputs v. For a pair without a connection, Z is the set
    of all nodes between them on paths of length three, u - z1 - z2 - v. The score is

        s(u, v) = sum over z in Z of (1 + i_z) / (1 + e_z),

    i_z: connections of z with other nodes in Z; e_z: connections of z with nodes other than u, v and those in Z.

    With the mask A and the degrees d, an output unit z that reads v has i_z = (A A')_uz, and e_z = d_z - i_z - 1. It is
    in Z if i_z > 0. The same holds for an input z that u reads, with A' in place of A. So four products with the sparse
    A give all scores; `path_flops` counts them.

    Args:
        mask: where connections are, (outputs, inputs) bool.

    Reference:
        Zhang et al. 2025, Brain network science modelling of sparse neural networks enables Transformers and LLMs to
        perform as fully connected (arXiv 2501.19107), section 3.1 and appendix C.
    """
    connections = mask.float()
    transposed = connections.T.contiguous()
    from_inputs = torch.sparse.mm(connections.to_sparse(), _nearness(transposed))
    from_outputs = torch.sparse.mm(transposed.to_sparse(), _nearness(connections))
    return from_inputs + from_outputs.T


def path_flops(mask: Tensor) -> int:
    """Return the FLOPs of the products in `path_scores`: 4 n (outputs + inputs) for n connections.

    Args:
        mask: where connections are, (outputs, inputs) bool.
    """
    return 4 * int(mask.sum()) * sum(mask.shape)


def _nearness(connections: Tensor) -> Tensor:
    """Return (1 + i_z) / (1 + e_z) for all pairs of rows (z, u), (rows, rows); 0 where they share no column.

    Args:
        connections: (rows, columns), 0 or 1.
    """
    shared = torch.sparse.mm(connections.to_sparse(), connections.T.contiguous())
    external = (connections.sum(1, keepdim=True) - shared - 1).clamp(min=0)
    return (1 + shared) / (1 + external) * (shared > 0)
