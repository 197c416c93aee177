"""What a page of the report is made of: paragraphs, verdict cards, figures, tables, and notes on what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "Block",
    "Card",
    "Cards",
    "Chart",
    "Drawing",
    "Entry",
    "Facts",
    "Fold",
    "Heading",
    "Interval",
    "Missing",
    "PageTable",
    "Paragraph",
    "Picture",
    "Section",
    "Sentences",
    "Swatch",
]


@dataclass(frozen=True)
class Heading:
    """A heading within a section.

    Attributes:
        title: text of the heading.
        anchor: its name in links.
    """

    title: str
    anchor: str
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text.

    Attributes:
        text: the words; what stands between backticks is shown as code.
        style: CSS class: "lead" for larger text, "note" for smaller text, or "".
    """

    text: str
    style: str = ""
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Sentences:
    """A list of sentences, one a line."""

    sentences: Sequence[str]
    kind: ClassVar[str] = "sentences"


@dataclass(frozen=True)
class Facts:
    """A list of terms with their meanings, (term, meaning)."""

    facts: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Missing:
    """A note on what a section lacks.

    Attributes:
        what: a sentence that says what is missing.
        command: the command that makes it; "" where no command does.
        where: a sentence that says which configuration makes it, and in which file that stands.
    """

    what: str
    command: str = ""
    where: str = ""
    kind: ClassVar[str] = "missing"


@dataclass(frozen=True)
class Interval:
    """A ratio with its interval, drawn on a logarithmic line; positions are per cent of the line's width.

    Attributes:
        label: the two contenders that are compared.
        words: ratio, interval and n.
        point, low, high: positions of the ratio and of the interval's ends.
        one: position of the ratio 1.
    """

    label: str
    words: str
    point: float
    low: float
    high: float
    one: float


@dataclass(frozen=True)
class Card:
    """One claim with its verdict.

    Attributes:
        question: the claim as a question.
        verdict: yes, no, mixed, not shown, too few arrivals, not enough data, or not measured.
        sentence: the comparison that decides the verdict, with numbers.
        intervals: comparisons that the verdict rests on.
        note: which comparisons are not drawn, and where they are.
    """

    question: str
    verdict: str
    sentence: str
    intervals: Sequence[Interval]
    note: str

    @property
    def tone(self) -> str:
        """Return yes, no, mixed or open, which sets the card's colour and sign."""
        return self.verdict if self.verdict in ("yes", "no", "mixed") else "open"


@dataclass(frozen=True)
class Cards:
    """Cards beside each other."""

    cards: Sequence[Card]
    kind: ClassVar[str] = "cards"


LONG = 60
"""Number of letters up to which a table's entry stands in one line."""

PATHS = {
    "circle": "M12.5 6a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "square": "M13 2h8v8h-8z",
    "triangle-up": "M17 1.5l5 9h-10z",
    "triangle-down": "M17 10.5l5-9h-10z",
    "diamond": "M17 .5l5 5.5l-5 5.5l-5-5.5z",
    "cross": "M15.3 1.5h3.4v2.8h2.8v3.4h-2.8v2.8h-3.4v-2.8h-2.8v-3.4h2.8z",
}
"""Mark of vega -> its outline in the legend."""


@dataclass(frozen=True)
class Swatch:
    """How a series is drawn: colour, dashes and shape together tell it apart.

    Attributes:
        label: the series.
        colour: #rrggbb.
        dash: lengths of dash and gap; empty for a full line.
        shape: a mark of vega: circle, square, ...
    """

    label: str
    colour: str
    dash: tuple[int, ...]
    shape: str

    @property
    def path(self) -> str:
        """Return the mark as an SVG path around (17, 6)."""
        return PATHS[self.shape]


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart: SVG in the page, interactive where scripts run, and written as SVG and PNG.

    Attributes:
        name: anchor in the page, and name of the files.
        title: what it shows.
        caption: n, and how it was made.
        alternative: what it shows in words, for readers who do not see it.
        chart: the altair chart without a width, which is the page's.
        legend: the series, where there are several.
        marked: whether the chart shows its series by marks, so that the legend does too.
        spread: "wide" for the width of the page, "half" for one of two columns.
    """

    name: str
    title: str
    caption: str
    alternative: str
    chart: "alt.LayerChart | alt.FacetChart"
    legend: Sequence[Swatch] = ()
    marked: bool = False
    spread: str = "half"
    kind: ClassVar[str] = "chart"

    @cached_property
    def specification(self) -> dict[str, Any]:
        """Return the description that vega-lite reads."""
        # Checking against the schema of vega-lite takes longer than drawing; the tests do it.
        return self.chart.to_dict(validate=False)


@dataclass(frozen=True)
class Drawing:
    """An image.

    Attributes:
        address: the image as a data: address.
        width: natural width, pixels.
    """

    address: str
    width: int


@dataclass(frozen=True)
class Picture:
    """Drawings beside each other under one title; on a narrow screen they stand below each other.

    Attributes:
        name: anchor.
        title, caption, alternative: as in a chart.
        drawings: one for each panel.
    """

    name: str
    title: str
    caption: str
    alternative: str
    drawings: Sequence[Drawing]
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Entry:
    """An entry of a table.

    Attributes:
        shown: its text.
        key: text or number by which the table sorts it.
    """

    shown: str
    key: str | float

    @property
    def is_number(self) -> bool:
        """Return whether it is sorted by size."""
        return not isinstance(self.key, str)

    @property
    def is_long(self) -> bool:
        """Return whether it may be broken into lines."""
        return len(self.shown) > LONG


@dataclass(frozen=True)
class PageTable:
    """A table; the page shows its first rows, the download has all.

    Attributes:
        name: anchor.
        caption: what it shows, with n and estimator.
        columns: headings.
        rows: one entry for each column.
        csv: the download as a data: address.
        file: name of the downloaded file.
        num_hidden: number of rows that only the download has.
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    csv: str
    file: str
    num_hidden: int = 0
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Fold:
    """Blocks behind a summary, which the reader opens.

    Attributes:
        title: text of the summary.
        anchor: its name in links.
        blocks: what it holds, in order.
    """

    title: str
    anchor: str
    blocks: "Sequence[Block]"
    kind: ClassVar[str] = "fold"


Block = (
    Heading | Paragraph | Sentences | Facts | Missing | Cards | Chart | Picture | PageTable | Fold
)  # fmt: skip


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        anchor: its name in links.
        title: its heading.
        blocks: what it holds, in order.
        summary: what the section shows, one line for readers who decide whether to open it.
        is_open: whether the page shows it unfolded.
    """

    anchor: str
    title: str
    blocks: Sequence[Block]
    summary: str = ""
    is_open: bool = False

    def all_blocks(self) -> list[Block]:
        """Return its blocks, with those inside of folds."""
        result: list[Block] = []
        for block in self.blocks:
            result += block.blocks if isinstance(block, Fold) else [block]
        return result
