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
    """The discretisation of curl(nu curl u) + kappa u = J on the unit cube with n x u = 0 on its walls.

    Weak form: (nu curl u, curl v) + (kappa u, v) = (J, v) for all v of Nedelec's lowest-order space with n x v = 0.

    A field is a vector (num_edges,) with its integral along every edge. Relative L2 errors decrease like the mesh
    width.

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
        """Number of edges, those on the walls included: the length of a field's vector."""
        return int(self.basis.N)

    def curl_curl(self, coefficient: Field | None = None) -> sparse.csc_matrix:
        """Return the matrix of (c curl u, curl v), (num_edges, num_edges); symmetric, positive semidefinite.

        Args:
            coefficient: c, which maps points (3, ...) to numbers (...); None: c = 1.
        """

        def form(u: Any, v: Any, w: Any) -> Array:
            product = dot(curl(u), curl(v))
            return product if coefficient is None else coefficient(np.asarray(w.x)) * product

        return skfem.BilinearForm(form).assemble(self.basis).tocsc()

    @cached_property
    def mass(self) -> sparse.csc_matrix:
        """The matrix of (u, v), (num_edges, num_edges); symmetric, positive definite."""
        return skfem.BilinearForm(lambda u, v, w: dot(u, v)).assemble(self.basis).tocsc()

    def load(self, density: Field) -> Array:
        """Return the vector of (J, v), (num_edges,); J maps points (3, ...) to a field (3, ...)."""
        values = density(np.asarray(self.basis.global_coordinates()))
        return skfem.LinearForm(lambda v, w: dot(w.density, v)).assemble(self.basis, density=values)

    def solve(self, matrix: sparse.csc_matrix, load: Array) -> Array:
        """Return the field u, zero along the walls, with (matrix u)_e = load_e at every inner edge e.

        Args:
            matrix: symmetric positive definite, (num_edges, num_edges).
            load: right-hand side, (num_edges,).

        Returns:
            (num_edges,).
        """
        field = np.zeros(self.num_edges)
        field[self.inner] = self.factorise(matrix).solve(load[self.inner])
        return field

    def factorise(self, matrix: sparse.csc_matrix) -> Any:
        """Return the LU factors of the part of the inner edges, for a symmetric positive definite matrix."""
        inner_part = matrix[self.inner][:, self.inner].tocsc()
        return splu(
            inner_part, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )

    def sampling(self, points: Array) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Return the matrices that evaluate a field and its curl at points (3, count).

        Each has the shape (3 count, num_edges). Its rows are all first components, then all second, then all third
        ones. At a point between two cells the values of one of them are taken. The curl is constant within a cell.
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
            sparse.csr_matrix((np.concatenate(values), where), (3 * count, self.num_edges))
            for values in entries
        )
        return value, rotation
