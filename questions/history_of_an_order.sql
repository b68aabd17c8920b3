-- title: All versions of an order
-- about: Every version of an order that was delivered, with its file and line.
-- database: raw
-- parameters:
--   order_id: the order
select order_date, customer_id, total_amount, status, source_filename, source_row, ingestion_timestamp,
    batch_id
from orders
where order_id = :order_id
order by row_id
