"""The plain script that one would write instead: pandas.read_csv, merge, to_sql(replace) into SQLite files.

    plain_pandas.py SOURCE_DIR OUT_DIR

No notebooks, no validation, no increments: a lower bound on features and a yardstick for time.
"""
import sqlite3
import sys
from pathlib import Path

import pandas as pd

source, out = map(Path, sys.argv[1:3])
out.mkdir(parents=True, exist_ok=True)
names = ["customers", "products", "orders", "order_lines", "payments"]

raw = sqlite3.connect(out / "raw.db")
for name in names:
    delivered = pd.read_csv(source / f"{name}.csv", dtype=str, keep_default_na=False)
    delivered.to_sql(name, raw, if_exists="replace", index=False)

curated = sqlite3.connect(out / "curated.db")
numbers = {"quantity", "unit_price", "discount_amount", "total_amount", "payment_amount"}
frames = {}
for name in names:
    frame = pd.read_sql(f"select * from {name}", raw)
    for column in frame.columns:
        is_number, text = column in numbers, frame[column]
        frame[column] = pd.to_numeric(text, errors="coerce") if is_number else text.str.strip()
    frames[name] = frame.drop_duplicates(frame.columns[0], keep="last")
    table = ("dim_" if name in ("customers", "products") else "fact_") + name
    frames[name].to_sql(table, curated, if_exists="replace", index=False)

gold = sqlite3.connect(out / "gold.db")
paid = frames["payments"].query("payment_status == 'SUCCESS'").groupby("order_id", as_index=False).agg(
    payment_method=("payment_method", "min"), payment_amount=("payment_amount", "sum"))
wide = (frames["order_lines"].merge(frames["orders"], on="order_id", how="left")
        .merge(frames["customers"], on="customer_id", how="left", suffixes=("", "_customer"))
        .merge(frames["products"].drop(columns="unit_price"), on="product_id", how="left",
               suffixes=("", "_product"))
        .merge(paid, on="order_id", how="left"))
wide["line_total"] = wide.quantity * wide.unit_price - wide.discount_amount.fillna(0)
wide.to_sql("reporting_sales_wide", gold, if_exists="replace", index=False)
frames["orders"].groupby("order_date", as_index=False).agg(
    total_orders=("order_id", "count"), total_sales=("total_amount", "sum")
).to_sql("sales_summary_daily", gold, if_exists="replace", index=False)
frames["orders"].groupby("customer_id", as_index=False).agg(
    orders=("order_id", "count"), spend=("total_amount", "sum"), first_order=("order_date", "min"),
    last_order=("order_date", "max")
).to_sql("reporting_customer_stats", gold, if_exists="replace", index=False)
