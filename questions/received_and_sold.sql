-- title: What was received against what was sold
-- about: The totals of the orders of each month, what was received for them so far, and what is still open.
-- database: gold
-- columns:
--   month: The month in which the orders were placed.
select substr(order_date, 1, 7) as month, sum(orders) as orders, sum(cancelled_orders) as cancelled_orders,
    round(sum(total_sales), 2) as total_sales, round(sum(payments_received), 2) as payments_received,
    round(sum(open_amount), 2) as open_amount
from sales_summary_daily
group by month
order by month desc
