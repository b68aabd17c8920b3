-- title: Yesterday's sales
-- about: The last day before today that has orders, and the seven days before it.
-- database: gold
-- parameters:
--   today: today's day. Without one, that of the clock in UTC
select order_date, orders, total_sales, units, gross_sales, discounts, net_sales, returned_amount,
    cancelled_orders, cancelled_amount, payments_received, open_amount
from sales_summary_daily
where order_date < coalesce(nullif(:today, ''), date('now'))
order by order_date desc
limit 8
