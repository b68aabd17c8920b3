-- title: Net sales by month
-- about: The orders, net sales, returns and discounts of each month, beside the same month a year before.
-- database: gold
-- columns:
--   month: The month in which the orders were placed.
--   year_before: Net sales of the same month a year before; empty where there is none.
with months as (
    select substr(order_date, 1, 7) as month, sum(orders) as orders, sum(units) as units,
        round(sum(net_sales), 2) as net_sales, round(sum(discounts), 2) as discounts,
        round(sum(returned_amount), 2) as returned_amount
    from sales_summary_daily
    group by month
)
select months.*, earlier.net_sales as year_before
from months
left join months as earlier on earlier.month = strftime('%Y-%m', months.month || '-01', '-1 year')
order by month desc
