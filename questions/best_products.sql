-- title: The best products
-- about: The products with the highest net sales in a month, or between two days.
-- database: gold
-- parameters:
--   month: a month, such as 2025-12. Without one, the month of the last order
--   first: the first day, instead of a month
--   last: the last day, instead of a month
-- columns:
--   orders: Orders with the product that were not cancelled.
--   units: Units sold, returns taken off.
--   share: Its part of the net sales of the period.
--   last_order_date: The last day of the period on which it was sold.
with asked as (
    select coalesce(nullif(:first, ''), month || '-01') as first,
        coalesce(nullif(:last, ''), date(month || '-01', '+1 month', '-1 day')) as last
    from (select coalesce(nullif(:month, ''), substr(max(order_date), 1, 7)) as month
          from sales_summary_daily)
),
sold as (
    select product_id, max(product_name) as product_name, max(category) as category,
        count(distinct order_id) as orders, sum(quantity) as units, round(sum(net_amount), 2) as net_sales,
        max(iif(quantity > 0, order_date, null)) as last_order_date
    from asked cross join reporting_sales_wide on order_date between first and last
    -- The + keeps SQLite from making an index of all sales first.
    where +is_sale = 1 and product_id is not null
    group by product_id
)
select product_id, product_name, category, orders, units, net_sales,
    net_sales / nullif(sum(net_sales) over (), 0) as share, last_order_date
from sold
order by net_sales desc, product_id
limit 50
