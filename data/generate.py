"""Generate the sample deliveries of a shop: the same arguments give the same bytes.

    python data/generate.py OUT [--orders 1000] [--seed 7] [--day 1|2]

Day 1 is the shop's history up to 2025-12-30. Day 2 is the small delivery of 2025-12-31: new rows, and
corrections of old ones as complete rows that replace the earlier row of the same key.

The history tells a story, so that a report has something to say: see SEASON and the lines below it.

Amounts are integer cents until they are written, so an order's total is exactly the sum of its lines.
"""

import argparse
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pandas as pd

LAST_DAY = np.datetime64("2025-12-30")
MONEY = {"unit_price", "total_amount", "discount_amount", "payment_amount"}

FIRST_NAMES = ["Anna", "Bob", "Cy", "Émile", "Zoë", "João", "Ida", "Gus", "Mei-Ling", "Søren", "Priya", "Jo",
               "Łucja", "José", "Fay", "Tariq"]
LAST_NAMES = ["Smith", "McDonald", "O'Neil", "van der Berg", "Müller", "Ng", "Díaz", "Patel", "Łukasik",
              "de Souza", "Nguyễn", "Kim", "Haaland", "Brown-Jones"]
# Names that break careless readers. They are the first customers, and each of them buys something.
ODD_NAMES = [("  ANNA ", "McDonald"), ("bob", "O'Neil"), ("Émile", "van der Berg"), ("Zoë", "Null"),
             ("Jo", "NA"), ("伟", "王"), ("", "Madonna")]
ASCII = str.maketrans("Łłø", "Llo")  # letters that Unicode does not decompose

# Namibia's country code is NA: a value, not a missing one.
PLACES = [("Austin", "TX", "US"), ("New York", "NY", "US"), ("São Paulo", "SP", "BR"), ("Łódź", "", "PL"),
          ("北京", "", "CN"), ("Oslo", "", "NO"), ("Pune", "MH", "IN"), ("Windhoek", "", "NA"),
          ("ZÜRICH", "ZH", "CH")]
ITEMS = [('27" Monitor', "Electronics", "Displays", 18900), ("Keyboard", "Electronics", "Input", 4990),
         ("Headphones", "electronics", "Audio", 8950), ("USB-C Cable, 2 m", "Electronics", "Cables", 999),
         ("Desk", "Furniture", "Desks", 24900), ("Office Chair", "Furniture", "Chairs", 15900),
         ("Shelf, oak", "FURNITURE", "Storage", 7995), ("Lamp", "Furniture", "", 3450),
         ("Notebook A5", "Office Supplies", "Paper", 349), ("Pen Set", "Office Supplies", "Writing", 1275),
         ("Stapler", "office supplies", "Desk Tools", 890), ("Café Mug", "Kitchen", "Mugs", 1150),
         ('12" Pan', "Kitchen", "Cookware", 4295), ("Wooden Train", "Toys", "Vehicles", 2999),
         ("Puzzle, 1000 pieces", "Toys", "Games", 1899)]
COLOURS = ["", "Black ", "White ", "Red ", "blue ", "GREEN ", "Grey "]
BRANDS = ["Acme", "Globex", "Hansen, Lund & Co", "Łucznik", "INITECH", "Smith's", ""]
FRESH_STATES = {"placed": .45, "PLACED": .20, "SHIPPED": .20, "shipped": .10, "Cancelled": .05}
STATES = {"Delivered": .58, "DELIVERED": .21, "SHIPPED": .06, "shipped": .03, "placed": .02, "cancelled": .04,
          "Cancelled": .01, "returned": .04, "RETURNED": .01}
CHANNELS = {"web": .30, "WEB": .20, "Mobile": .25, "store": .14, "Marketplace": .08, "": .03}
SEGMENTS = {"RETAIL": .45, "retail": .15, "VIP": .12, "Wholesale": .20, "": .08}
METHODS = {"CARD": .50, "PayPal": .22, "bank transfer": .15, "Gift Card": .10, "": .03}
# The story. How likely an order is, in a straight line from one date to the next: Advent rises until the last
# parcels for Christmas leave, the holidays are quiet, and then people spend their vouchers.
SEASON = {"01-01": .8, "02-10": .6, "05-10": .9, "07-20": .65, "09-15": .8, "11-25": .8, "12-14": 1.7,
          "12-18": 1.7, "12-20": .7, "12-23": .6, "12-24": .4, "12-26": .3, "12-27": 1.6, "12-31": 1.6}
WEEKEND, CAMPAIGN, GROWTH = 1.6, 2.0, 1.25  # how many times as likely: then, and a year later
# From Black Friday to the day after Cyber Monday. Most lines of one category have a discount.
CAMPAIGNS = [("2024-11-29", "2024-12-03"), ("2025-11-28", "2025-12-02")]
ON_OFFER = "electronics"
# The desk that sells until this day hardly sells from then on, and the black one sells instead.
OLD_DESK, NEW_DESK, DESKS_CHANGE = "SKU-0005", "SKU-0020", "2025-12-03"
# Regular customers who buy nothing from the first day until the second. One is lost, and one comes back.
AWAY = {"00002": ("2025-12-01", "2026-01-01"), "00003": ("2025-11-09", "2025-12-24")}


def pick(shares: dict[str, float], count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` of the words, each with the probability of its share."""
    return rng.choice(np.array(list(shares), dtype=object), count, p=list(shares.values()))


def favour_early(length: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` positions below `length`, early ones more often: best-sellers and regular customers."""
    return (rng.random(count) ** 2 * length).astype(np.int64)


def make_ids(pattern: str, first: int, count: int) -> np.ndarray:
    return np.array([pattern.format(number) for number in range(first, first + count)], dtype=object)


def write_dates(moments: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Write moments as ISO 8601 text: most of them as a date, the others as a timestamp."""
    text = np.datetime_as_string(moments.astype("datetime64[s]")).astype(object)
    days = np.datetime_as_string(moments.astype("datetime64[D]"))
    return np.where(rng.random(len(moments)) < .6, days, text)


def write_money(cents: pd.Series) -> np.ndarray:
    """Write cents as text with two decimals, and a missing amount as an empty field."""
    codes, amounts = pd.factorize(cents)
    words = [f"{amount // 100}.{amount % 100:02d}" for amount in amounts.tolist()]
    return np.array([*words, ""], dtype=object)[codes]  # code -1, a missing amount, is the last word


def draw_names(names: list[str], count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw names as people type them."""
    typed = [[name, name.upper(), name.lower(), f" {name}  ", f"{name.upper()} "] for name in names]
    style = rng.choice(5, count, p=[.76, .07, .07, .06, .04])
    return np.array(typed, dtype=object)[rng.integers(0, len(names), count), style]


def to_ascii(names: np.ndarray) -> np.ndarray:
    """Return the names' letters as an e-mail address can have them, `me` where none is left."""
    codes, words = pd.factorize(names)
    letters = [filter(str.isalpha, normalize("NFKD", word.translate(ASCII))) for word in words]
    plain = ["".join(filter(str.isascii, word)) or "me" for word in letters]
    return np.array(plain, dtype=object)[codes]


def make_customers(first: int, count: int, rng: np.random.Generator) -> pd.DataFrame:
    ids = make_ids("{:05d}", first, count)
    first_name, last_name = draw_names(FIRST_NAMES, count, rng), draw_names(LAST_NAMES, count, rng)
    if first == 1:
        first_name[:len(ODD_NAMES)], last_name[:len(ODD_NAMES)] = zip(*ODD_NAMES, strict=True)
    email = to_ascii(first_name) + "." + to_ascii(last_name) + ids + "@Example.com"
    lower = np.array([address.lower() for address in email], dtype=object)
    style = rng.random(count)
    phone = "0" + rng.integers(10**8, 10**9, count).astype(str).astype(object)
    city, state, country = np.array(PLACES, dtype=object)[rng.integers(0, len(PLACES), count)].T
    return pd.DataFrame(dict(
        customer_id=ids, first_name=first_name, last_name=last_name,
        email=np.where(style < .08, "", np.where(style < .2, email, lower)),
        phone=np.where(rng.random(count) < .15, "", phone), city=city, state=state, country=country,
        segment=pick(SEGMENTS, count, rng)))


def make_products(first: int, count: int, rng: np.random.Generator) -> pd.DataFrame:
    number = np.arange(first - 1, first - 1 + count)
    item, category, sub_category, price = np.array(ITEMS, dtype=object)[number % len(ITEMS)].T
    edition, colour = np.divmod(number // len(ITEMS), len(COLOURS))
    name = np.array(COLOURS, dtype=object)[colour] + item
    return pd.DataFrame(dict(
        product_id=make_ids("SKU-{:04d}", first, count),
        product_name=np.where(edition > 0, name + " " + (edition + 1).astype(str).astype(object), name),
        category=category, sub_category=sub_category, brand=rng.choice(np.array(BRANDS, dtype=object), count),
        unit_price=pd.array(price.astype(np.int64) * rng.integers(80, 121, count) // 100, dtype="Int64"),
        status=pick({"ACTIVE": .8, "active": .1, "Discontinued": .1}, count, rng)))


def make_orders(first: int, moments: np.ndarray, customer_ids: np.ndarray,
                rng: np.random.Generator) -> pd.DataFrame:
    """Return one row per moment; total_amount is 0 until the lines are made."""
    count, age = len(moments), moments.max() - moments
    state = np.where(age < np.timedelta64(3, "D"), pick(FRESH_STATES, count, rng), pick(STATES, count, rng))
    return pd.DataFrame(dict(
        order_id=make_ids("{:07d}", first, count), customer_id=customer_ids,
        order_date=write_dates(moments, rng), channel=pick(CHANNELS, count, rng), total_amount=0,
        status=state))


def make_lines(first: int, orders: pd.DataFrame, counts: np.ndarray, products: pd.DataFrame,
               rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Return `counts` lines per order, and per order their sum in cents, which is never negative."""
    count, start = counts.sum(), np.cumsum(counts) - counts
    product = favour_early(len(products), count, rng)
    late = np.repeat(orders["order_date"] >= DESKS_CHANGE, counts)
    old, new = pd.Index(products["product_id"]).get_indexer([OLD_DESK, NEW_DESK])
    unsold, sold = np.where(late, old, new), np.where(late, new, old)
    product = np.where((product == unsold) & (rng.random(count) < .9), sold, product)
    price = products["unit_price"].to_numpy(np.int64)[product]
    price = np.where(rng.random(count) < .05, price * 9 // 10, price)  # a promotion
    quantity = rng.choice(np.arange(1, 6), count, p=[.55, .22, .12, .07, .04])
    percent = np.where(rng.random(count) < .2, rng.choice([5, 10, 15, 20], count), 0)
    on_offer = (products["category"].str.lower() == ON_OFFER).to_numpy()[product]
    on_offer &= np.repeat(is_campaign(orders["order_date"]), counts) & (rng.random(count) < .85)
    percent[on_offer] = rng.choice([20, 25, 30], on_offer.sum())
    # A return is the last line of an order and takes back some of the first line, which then has no discount:
    # so it never gives back more money than that line brought in.
    returned = (orders["status"].str.lower() == "returned").to_numpy() & (counts > 1)
    bought, back = start[returned], (start + counts - 1)[returned]
    product[back], price[back], percent[bought], percent[back] = product[bought], price[bought], 0, 0
    quantity[back] = -rng.integers(1, quantity[bought] + 1)
    discount = price * quantity * percent // 100
    empty = (discount == 0) & (rng.random(count) < .3)
    lines = pd.DataFrame(dict(
        order_line_id=make_ids("{:08d}", first, count),
        order_id=np.repeat(orders["order_id"].to_numpy(object), counts),
        product_id=products["product_id"].to_numpy(object)[product], quantity=quantity, unit_price=price,
        discount_amount=pd.arrays.IntegerArray(discount, empty)))
    return lines, np.add.reduceat(price * quantity - discount, start)


def is_campaign(days: pd.Series) -> np.ndarray:
    """Return which days or moments, as ISO 8601 text, are in a campaign."""
    return np.any([(days >= first) & (days < end) for first, end in CAMPAIGNS], axis=0)


def make_payments(first: int, orders: pd.DataFrame, moments: np.ndarray, until: np.datetime64,
                  rng: np.random.Generator) -> pd.DataFrame:
    """Return as many payments as orders: every tenth order has none, and as many orders have two."""
    few, total = len(orders) // 20, orders["total_amount"].to_numpy(np.int64)
    free = (orders["status"].str.lower() == "cancelled").to_numpy() | (total == 0)
    queue = rng.permutation(len(orders))
    queue = queue[np.argsort(~free[queue], kind="stable")]  # cancelled and free orders go unpaid
    _, retried, split, single = np.split(queue, [2 * few, 3 * few, 4 * few])
    part = total[split] * rng.integers(20, 81, few) // 100
    order = np.concatenate([retried, retried, split, split, single])
    amount = np.concatenate([total[retried], total[retried], part, total[split] - part, total[single]])
    status = np.concatenate([np.repeat(["FAILED", "SUCCESS"], few), np.repeat("SUCCESS", 2 * few),
                             pick({"SUCCESS": .9, "FAILED": .05, "PENDING": .05}, len(single), rng)])
    # A retry, or a second part, is paid in the second half of the time that there is to pay.
    half = np.concatenate([np.repeat([0, .5, 0, .5], few), rng.integers(0, 2, len(single)) / 2])
    window = np.minimum((until - moments[order]).astype(np.int64), 3 * 86400)
    when = moments[order] + ((half + rng.random(len(order)) / 2) * window).astype("timedelta64[s]")
    payments = pd.DataFrame(dict(
        payment_id="", order_id=orders["order_id"].to_numpy(object)[order],
        payment_date=np.where(status == "PENDING", "", write_dates(when, rng)),
        payment_method=pick(METHODS, len(order), rng), payment_status=status, payment_amount=amount))
    payments = payments.iloc[np.argsort(when, kind="stable")].reset_index(drop=True)
    return payments.assign(payment_id=make_payment_ids(first, len(order)))


def make_payment_ids(first: int, count: int) -> np.ndarray:
    """Return hexadecimal ids, which are unique because the factor is odd; some look like numbers
    (1234e567)."""
    numbers = range(first, first + count)
    return np.array([f"{number * 2654435761 % 2**32:08x}" for number in numbers], dtype=object)


def weigh_days(days: np.ndarray) -> np.ndarray:
    """Return how likely an order is on each day, by season, weekend, campaign and growth."""
    dates = [f"{year}-{date}" for year in np.unique(days.astype("datetime64[Y]")) for date in SEASON]
    heights = np.resize(list(SEASON.values()), len(dates))
    season = np.interp(days.astype(int), np.array(dates, "datetime64[D]").astype(int), heights)
    week = np.where(np.is_busday(days), 1, WEEKEND)
    campaign = np.where(is_campaign(pd.Series(np.datetime_as_string(days))), CAMPAIGN, 1)
    return season * week * campaign * GROWTH ** ((days - LAST_DAY).astype(int) / 365)


def send_away(buyer: np.ndarray, moments: np.ndarray, rng: np.random.Generator) -> None:
    """Exchange the orders that a customer places while AWAY for orders that others place at other times.

    So all customers keep their number of orders.
    """
    away = {int(customer) - 1: np.array(times, "datetime64[s]") for customer, times in AWAY.items()}
    for customer, (first, end) in away.items():
        at_that_time = (moments >= first) & (moments < end)
        own = np.flatnonzero((buyer == customer) & at_that_time)
        free = np.flatnonzero(~np.isin(buyer, list(away)) & ~at_that_time)
        others = rng.choice(free, len(own), replace=False)
        buyer[own], buyer[others] = buyer[others], customer


def make_first_day(orders: int, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Return the five sources of the shop's history, money in cents."""
    customers = make_customers(1, max(500, orders // 2), rng)
    products = make_products(1, max(100, min(20_000, orders // 100)), rng)
    days = LAST_DAY - np.arange(min(orders, 60) if orders <= 5_000 else 730)[::-1]
    weight = weigh_days(days)
    # Each day occurs once before days are drawn, so that none is without an order; buyers likewise.
    day = np.concatenate([days, rng.choice(days, orders - len(days), p=weight / weight.sum())])
    moments = np.sort(day.astype("datetime64[s]") + rng.integers(7 * 3600, 22 * 3600, orders))
    odd, buyers = len(ODD_NAMES), orders * 432 // 1000
    buyer = np.concatenate([np.arange(odd), odd + rng.permutation(len(customers) - odd)])[:buyers]
    buyer = rng.permutation(np.concatenate([buyer, buyer[favour_early(buyers, orders - buyers, rng)]]))
    send_away(buyer, moments, rng)
    headers = make_orders(1, moments, customers["customer_id"].to_numpy(object)[buyer], rng)
    counts = 1 + np.bincount(rng.integers(0, orders, orders * 3064 // 1000 - orders), minlength=orders)
    lines, headers["total_amount"] = make_lines(1, headers, counts, products, rng)
    payments = make_payments(1, headers, moments, LAST_DAY + np.timedelta64(86399, "s"), rng)
    products.loc[len(products) - 1, ["unit_price", "status"]] = [pd.NA, "Discontinued"]  # sold out
    return dict(customers=customers, products=products, orders=headers, order_lines=lines, payments=payments)


def make_second_day(shop: dict[str, pd.DataFrame], rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Return what the shop delivers a day after `shop`: new rows, and changed old rows."""
    customers, products, orders, lines, payments = shop.values()
    today = (LAST_DAY + 1).astype("datetime64[s]")
    new_customers, delivered_customers = make_customer_changes(customers, rng)
    delivered_products = make_product_changes(products, rng)

    few = max(1, len(orders) // 1000)
    alive = orders.iloc[len(orders) // 2:].loc[lambda recent: recent["status"].str.lower() != "cancelled"]
    moved, reassigned, cancelled, extended = draw(alive, 4, few, rng)
    earlier = pd.to_datetime(moved["order_date"].str[:10]) - pd.Timedelta(days=7)
    moved = moved.assign(order_date=earlier.dt.strftime("%Y-%m-%d"))
    position = customers.index[customers["customer_id"].isin(reassigned["customer_id"])]
    others = customers["customer_id"].drop(position).to_numpy(object)
    reassigned = reassigned.assign(customer_id=rng.choice(others, few))
    cancelled = cancelled.assign(status="CANCELLED")
    on_sale = pd.concat([delivered_products, products]).drop_duplicates("product_id")
    on_sale = on_sale.dropna(subset="unit_price")
    extra_lines, extra = make_lines(len(lines) + 1, extended, np.ones(few, dtype=np.int64), on_sale, rng)
    extended = extended.assign(total_amount=extended["total_amount"] + extra)

    count = max(20, len(orders) // 50)
    known = np.concatenate([new_customers["customer_id"], customers["customer_id"]])
    buyers = np.append(known[:1], known[favour_early(len(known), count - 1, rng)])
    moments = np.sort(today + rng.integers(7 * 3600, 20 * 3600, count))
    new_orders = make_orders(len(orders) + 1, moments, buyers, rng)
    counts = rng.integers(1, 6, count)
    new_lines, new_orders["total_amount"] = make_lines(len(lines) + few + 1, new_orders, counts, on_sale, rng)

    # Late payments: pending ones arrive, and so do first payments of orders that had none.
    end_of_day = today + np.timedelta64(86399, "s")
    new_payments = make_payments(len(payments) + 1, new_orders, moments, end_of_day, rng)
    arrived = payments[payments["payment_status"] == "PENDING"].tail(2 * few)
    arrived = arrived.assign(
        payment_date=write_dates(today + rng.integers(0, 86400, len(arrived)), rng), payment_status="SUCCESS")
    settled = pd.concat([payments["order_id"], cancelled["order_id"]])
    unpaid = alive[~alive["order_id"].isin(settled) & (alive["total_amount"] > 0)].tail(2 * few)
    late = pd.DataFrame(dict(
        payment_id=make_payment_ids(len(payments) + count + 1, len(unpaid)), order_id=unpaid["order_id"],
        payment_date=write_dates(today + rng.integers(0, 86400, len(unpaid)), rng),
        payment_method="bank transfer", payment_status="SUCCESS", payment_amount=unpaid["total_amount"]))

    return dict(customers=delivered_customers, products=delivered_products,
                orders=pd.concat([moved, reassigned, cancelled, extended, new_orders]),
                order_lines=pd.concat([extra_lines, new_lines]),
                payments=pd.concat([arrived, late, new_payments]))


def make_customer_changes(customers: pd.DataFrame,
                          rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return new customers, and these together with changed old ones."""
    new = make_customers(len(customers) + 1, len(customers) // 100, rng)
    upgraded, mailed, renamed = draw(customers, 3, len(customers) // 500, rng)
    upgraded = upgraded.assign(segment=np.where(upgraded["segment"] == "VIP", "Wholesale", "VIP"))
    mailed = mailed.assign(email="New." + mailed["customer_id"] + "@Example.ORG")
    renamed = renamed.assign(last_name=renamed["last_name"].str.strip() + "-Sánchez")
    return new, pd.concat([new, upgraded, mailed, renamed])


def make_product_changes(products: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return new products and changed old ones."""
    few = len(products) // 100
    new = make_products(len(products) + 1, few, rng)
    changed, ended = draw(products.dropna(subset="unit_price"), 2, few, rng)
    changed = changed.assign(unit_price=changed["unit_price"] * 11 // 10, category="Clearance")
    return pd.concat([new, changed, ended.assign(status="DISCONTINUED")])


def draw(rows: pd.DataFrame, groups: int, size: int, rng: np.random.Generator) -> list[pd.DataFrame]:
    """Draw `groups` frames of `size` rows each, no row twice."""
    chosen = rng.choice(len(rows), (groups, size), replace=False)
    return [rows.iloc[group] for group in chosen]


def generate(out: Path, orders: int = 1000, seed: int = 7, day: int = 1) -> dict[str, int]:
    """Write one day's five files into `out`; return the rows per source."""
    if orders < 100:
        raise ValueError(f"orders is {orders}: use 100 or more")
    if day not in (1, 2):
        raise ValueError(f"day is {day}: use 1 or 2")
    tables = make_first_day(orders, np.random.default_rng(seed))
    if day == 2:
        tables = make_second_day(tables, np.random.default_rng([seed, day]))
    suffix = "" if day == 1 else f"_{LAST_DAY + 1}"
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for source, rows in tables.items():
        money = {column: write_money(rows[column]) for column in rows.columns if column in MONEY}
        rows.assign(**money).to_csv(
            out / f"{source}{suffix}.csv", index=False, encoding="utf-8", lineterminator="\n")
    return {source: len(rows) for source, rows in tables.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate the sample deliveries of a shop.")
    parser.add_argument("out", type=Path, help="folder to write the five CSV files into")
    parser.add_argument("--orders", type=int, default=1000, help="orders on day 1 (default 1000)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--day", type=int, choices=(1, 2), default=1, help="1: the history; 2: the day after")
    options = parser.parse_args()
    counts = generate(options.out, options.orders, options.seed, options.day)
    print(f"{options.out}:", ", ".join(f"{rows} {source}" for source, rows in counts.items()))


if __name__ == "__main__":
    main()
