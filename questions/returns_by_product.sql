-- title: Returns by product
-- about: What was returned of each product in a month, or between two days, and its part of what was sold.
-- database: gold
-- parameters:
--   month: a month, such as 2025-12. Without one, the month of the last order
--   first: the first day, instead of a month
--   last: the last day, instead of a month
-- columns:
--   returned_units: Units on lines with a negative quantity, as a positive figure.
--   returned_share: Returned amount divided by net sales before returns.
with asked as (
    select coalesce(nullif(:first, ''), month || '-01') as first,
        coalesce(nullif(:last, ''), date(month || '-01', '+1 month', '-1 day')) as last
    from (select coalesce(nullif(:month, ''), substr(max(order_date), 1, 7)) as month
          from sales_summary_daily)
)
select product_id, max(product_name) as product_name, max(category) as category,
    sum(iif(quantity < 0, -quantity, 0)) as returned_units,
    round(sum(iif(quantity < 0, -net_amount, 0)), 2) as returned_amount,
    round(sum(net_amount), 2) as net_sales,
    sum(iif(quantity < 0, -net_amount, 0)) / nullif(sum(iif(quantity < 0, 0, net_amount)), 0)
        as returned_share
from asked cross join reporting_sales_wide on order_date between first and last
where +is_sale = 1
group by product_id
having returned_units > 0
order by returned_amount desc, product_id
