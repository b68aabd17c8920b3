"""The source contract: which columns each source delivers, as data. Nothing else repeats these lists."""

from dataclasses import dataclass

from lib.errors import PipelineError


@dataclass(frozen=True)
class Column:
    """One column of a source: its name, how its text is to be read, and whether a row may leave it empty.

    `type` is "text", "category" (text with few different values), "date" (an ISO 8601 date or timestamp),
    "money" (at most two decimals), "price" (of one unit: at most six) or "number" (at most three).
    """

    name: str
    type: str
    optional: bool = False


@dataclass(frozen=True)
class Source:
    """One CSV feed. The first column is the key.

    `missing` are texts that stand for an empty cell. `encoding` is that of files which are not UTF-8, such as
    "cp1251"; "" if none is declared.
    """

    name: str
    columns: tuple[Column, ...]
    missing: tuple[str, ...] = ()
    encoding: str = ""

    def __post_init__(self) -> None:
        if self.encoding:
            try:
                "".encode(self.encoding)
            except LookupError:
                raise PipelineError(f"lib/contract.py: {self.name} has the encoding {self.encoding!r}, which "
                                    "Python does not know. Write one of its standard encodings, such as "
                                    "cp1251, shift_jis or mac_roman.") from None

    @property
    def key(self) -> str:
        return self.columns[0].name

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.type == "category")


def _source(name: str, *columns: str, missing: tuple[str, ...] = (),
            encoding: str = "") -> tuple[str, Source]:
    """Read `name:type` declarations; a trailing `?` marks a column that may be empty."""
    parsed = []
    for column in columns:
        column_name, _, column_type = column.rstrip("?").partition(":")
        parsed.append(Column(column_name, column_type or "text", optional=column.endswith("?")))
    return name, Source(name, tuple(parsed), missing, encoding)


SOURCES: dict[str, Source] = dict([
    _source("customers", "customer_id", "first_name?", "last_name?", "email?", "phone?", "city?", "state?",
            "country?", "segment:category?"),
    _source("products", "product_id", "product_name?", "category:category?", "sub_category?", "brand?",
            "unit_price:price?", "status:category?"),
    _source("orders", "order_id", "customer_id?", "order_date:date", "channel:category?",
            "total_amount:money?", "status:category?"),
    _source("order_lines", "order_line_id", "order_id", "product_id", "quantity:number", "unit_price:price",
            "discount_amount:money?"),
    _source("payments", "payment_id", "order_id", "payment_date:date?", "payment_method:category?",
            "payment_status:category?", "payment_amount:money?"),
])
