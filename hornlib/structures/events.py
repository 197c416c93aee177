"""The kinds of events: what a structure can do to a network while it trains; free of torch."""

__all__ = ["ADDING_KINDS", "EVENT_KINDS", "UNIT_KINDS"]

EVENT_KINDS: dict[str, str] = {
    "inserted": "a layer was inserted",
    "pruned": "layers, or connections of a layer, were removed",
    "reset": "nothing but learning rate and optimiser changed",
    "masked": "connections of a layer were chosen before the first step",
    "rewired": "connections of a layer were dropped, and as many or others were grown",
    "restarted": "a second training began, with fresh weights and the units that were left",
    "grown": "units of a layer were added",
    "narrowed": "units of a layer were removed",
    "exchanged": "units of a layer were removed, and as many were added",
    "rewound": "weights went back to their first values",
}
"""Kind -> what happened. `event_kind` of a run file is one of these."""

UNIT_KINDS = ("grown", "narrowed", "exchanged")
"""Kinds that concern units. results.nc holds these events, too; the others stay in the run files."""

ADDING_KINDS = ("grown", "exchanged")
"""Kinds that add units, whose gradients are recorded."""
