"""The rules of growth: with which weights new units start. Each is one file."""

from hornlib.structures.growth.new_units import Rule
from hornlib.structures.growth.rules.firefly import firefly
from hornlib.structures.growth.rules.gaussian import gaussian
from hornlib.structures.growth.rules.gradmax import gradmax
from hornlib.structures.growth.rules.gradmax_search import gradmax_search
from hornlib.structures.growth.rules.gradmax_search_incoming import gradmax_search_incoming
from hornlib.structures.growth.rules.nest import nest
from hornlib.structures.growth.rules.net2net import net2net
from hornlib.structures.growth.rules.tiny import tiny
from hornlib.structures.growth.rules.uniform import uniform
from hornlib.structures.growth.rules.variance_transfer import variance_transfer
from hornlib.structures.growth.rules.zero_outgoing import zero_outgoing

__all__ = ["RULES"]

RULES: dict[str, Rule] = {
    "gradmax": gradmax,
    "gradmax_search": gradmax_search,
    "gradmax_search_incoming": gradmax_search_incoming,
    "firefly": firefly,
    "uniform": uniform,
    "gaussian": gaussian,
    "zero_outgoing": zero_outgoing,
    "net2net": net2net,
    "nest": nest,
    "tiny": tiny,
    "variance_transfer": variance_transfer,
}
"""Rule -> its function. `rule_facts.RULE_FACTS` says what their units are like."""
