"""Curl-curl problems on the unit cube with Nedelec's lowest-order edge elements, through scikit-fem."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import skfem
from scipy import sparse
from scipy.sparse.linalg import splu
from skfem.helpers import curl, dot

from hornlib.data.maxwell.problem import Array

__all__ = ["EdgeElements"]

Field = Callable[[Array], Array]

QUADRATURE = 4
"""Degree up to which polynomials are integrated exactly."""


class EdgeElements:
    """The parts of curl(nu curl u) + kappa u = J on the unit cube, n x u = 0 on its walls, in the weak form.

    (nu curl u, curl v) + (kappa u, v) = (J, v) for all v of Nedelec's lowest-order space with n x v = 0.

    A field is a vector with a number an edge, its integral along the edge. Relative L2 errors fall like h.

    Args:
        cells_a_side: cells along an edge of the cube; each is cut into tetrahedra.

    Source: Nedelec (1980), Mixed finite elements in R^3, Numerische Mathematik 35; Monk (2003), Finite Element
    Methods for Maxwell's Equations, chapter 5.
    """

    def __init__(self, cells_a_side: int) -> None:
        mesh = skfem.MeshTet.init_tensor(*[np.linspace(0, 1, cells_a_side + 1)] * 3)
        self.basis = skfem.Basis(mesh, skfem.ElementTetN0(), intorder=QUADRATURE)
        self.inner = self.basis.complement_dofs(self.basis.get_dofs())

    @property
    def num_edges(self) -> int:
        """Numbers that describe a field, those on the walls included."""
        return int(self.basis.N)

    def curl_curl(self, coefficient: Field | None = None) -> sparse.csc_matrix:
        """Return the matrix of (c curl u, curl v), c = 1 if there is no coefficient; symmetric, semidefinite."""

        def form(u: Any, v: Any, w: Any) -> Array:
            product = dot(curl(u), curl(v))
            return product if coefficient is None else coefficient(np.asarray(w.x)) * product

        return skfem.BilinearForm(form).assemble(self.basis).tocsc()

    @cached_property
    def mass(self) -> sparse.csc_matrix:
        """The matrix of (u, v); symmetric, positive definite."""
        return skfem.BilinearForm(lambda u, v, w: dot(u, v)).assemble(self.basis).tocsc()

    def load(self, density: Field) -> Array:
        """Return the vector of (J, v), (num_edges,); J maps points (3, ...) to a field (3, ...)."""
        at = density(np.asarray(self.basis.global_coordinates()))
        return skfem.LinearForm(lambda v, w: dot(w.density, v)).assemble(self.basis, density=at)

    def solve(self, matrix: sparse.csc_matrix, load: Array) -> Array:
        """Return the field u, zero along the walls, with (matrix u)_e = load_e at every inner edge e."""
        field = np.zeros(self.num_edges)
        field[self.inner] = self.factorise(matrix).solve(load[self.inner])
        return field

    def factorise(self, matrix: sparse.csc_matrix) -> Any:
        """Return the LU factors of the inner edges' part, in an order for symmetric positive definite matrices."""
        own = matrix[self.inner][:, self.inner].tocsc()
        return splu(own, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})

    def sampling(self, points: Array) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Return the matrices that read a field and its curl at points (3, count).

        Each has 3 count rows: all first components, all second, all third. Between two cells both are read
        in one of them; the curl is constant within a cell.
        """
        element, mapping = self.basis.elem, self.basis.mapping
        cells = self.basis.mesh.element_finder()(*points)
        local = mapping.invF(points[:, :, None], tind=cells)
        count = points.shape[1]
        entries: tuple[list[Array], list[Array]] = ([], [])
        rows = np.arange(3 * count)
        columns = []
        for number in range(self.basis.Nbfun):
            shape = element.gbasis(mapping, local, number, tind=cells)[0]
            entries[0].append(np.asarray(shape)[:, :, 0].ravel())
            entries[1].append(shape.curl[:, :, 0].ravel())
            columns.append(np.tile(self.basis.element_dofs[number, cells], 3))
        where = np.tile(rows, self.basis.Nbfun), np.concatenate(columns)
        value, rotation = (
            sparse.csr_matrix((np.concatenate(found), where), (3 * count, self.num_edges))
            for found in entries
        )
        return value, rotation
