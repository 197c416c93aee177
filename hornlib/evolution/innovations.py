"""Numbers of new nodes and connections: equal changes in one generation have equal numbers."""

from typing import Any

from hornlib.evolution.genome import Frame

__all__ = ["Innovations"]


class Innovations:
    """The counters of a run, and the changes of the present generation.

    Args:
        frame: its pairs of inputs and outputs have the first innovations.

    Attributes:
        next_node: number of the next hidden node.
        next_connection: innovation of the next connection.

    Reference:
        Stanley and Miikkulainen, Evolving neural networks through augmenting topologies, 2002, section 3.2.
    """

    def __init__(self, frame: Frame) -> None:
        self.next_node = frame.num_nodes
        self.next_connection = frame.num_pairs
        self.begin_generation()

    def begin_generation(self) -> None:
        """Forget the changes so far: the same change in another generation is another innovation."""
        self._connections: dict[tuple[int, int], int] = {}
        self._splits: dict[int, tuple[int, int, int]] = {}

    def connection(self, source: int, target: int) -> int:
        """Return the innovation of a new connection.

        Args:
            source, target: numbers of the nodes.
        """
        key = (source, target)
        if key not in self._connections:
            self._connections[key] = self._next_connection()
        return self._connections[key]

    def split(self, innovation: int) -> tuple[int, int, int]:
        """Return the number of the node within a connection, and the innovations to it and from it.

        Args:
            innovation: of the connection that is split.
        """
        if innovation not in self._splits:
            node, self.next_node = self.next_node, self.next_node + 1
            self._splits[innovation] = (node, self._next_connection(), self._next_connection())
        return self._splits[innovation]

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint between two generations holds."""
        return {"next_node": self.next_node, "next_connection": self.next_connection}

    def restore_(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state()` returned."""
        self.next_node, self.next_connection = state["next_node"], state["next_connection"]
        self.begin_generation()

    def _next_connection(self) -> int:
        self.next_connection += 1
        return self.next_connection - 1
