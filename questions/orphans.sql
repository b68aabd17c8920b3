-- title: Orphans
-- about: Rows whose order, product or customer has not arrived.
-- database: curated
-- columns:
--   record_key: The key of the row.
--   misses: What the row names that is not there.
select 'fact_orders' as table_name, order_id as record_key, 'customer ' || customer_id as misses, batch_id
from fact_orders
where is_deleted = 0
    and customer_id not in (select customer_id from dim_customers where is_deleted = 0)
union all
select 'fact_order_lines', order_line_id, 'order ' || order_id, batch_id
from fact_order_lines
where is_deleted = 0 and order_id not in (select order_id from fact_orders where is_deleted = 0)
union all
select 'fact_order_lines', order_line_id, 'product ' || product_id, batch_id
from fact_order_lines
where is_deleted = 0 and product_id not in (select product_id from dim_products where is_deleted = 0)
union all
select 'fact_payments', payment_id, 'order ' || order_id, batch_id
from fact_payments
where is_deleted = 0 and order_id not in (select order_id from fact_orders where is_deleted = 0)
order by table_name, record_key, misses
