-- title: Net sales by channel
-- about: What was sold in each channel in a month, or between two days.
-- database: gold
-- parameters:
--   month: a month, such as 2025-12. Without one, the month of the last order
--   first: the first day, instead of a month
--   last: the last day, instead of a month
-- columns:
--   orders: Orders with such lines that were not cancelled.
--   units: Units on these lines, returns taken off.
--   share: Its part of the net sales of the period.
--   before: Net sales of as many days right before the period; empty if the first order came later.
--   change: Net sales of the period minus those before.
--   year_before: Net sales of the same weekdays a year (364 days) before; empty where there are none.
with asked as (
    select coalesce(nullif(:first, ''), month || '-01') as first,
        coalesce(nullif(:last, ''), date(month || '-01', '+1 month', '-1 day')) as last
    from (select coalesce(nullif(:month, ''), substr(max(order_date), 1, 7)) as month
          from sales_summary_daily)
),
spans as (
    select 0 as back, first, last from asked
    union all select 1, date(first, '-' || (julianday(last) - julianday(first) + 1) || ' days'),
        date(first, '-1 day') from asked
    union all select 2, date(first, '-364 days'), date(last, '-364 days') from asked
),
sold as (
    select coalesce(nullif(channel, ''), '(no channel)') as channel,
        count(distinct iif(back = 0, order_id, null)) as orders, sum(iif(back = 0, quantity, 0)) as units,
        round(sum(iif(back = 0, net_amount, 0)), 2) as net_sales,
        round(sum(iif(back = 1, net_amount, 0)), 2) as earlier,
        round(sum(iif(back = 2, net_amount, null)), 2) as year_before
    from spans cross join reporting_sales_wide on order_date between first and last
    -- The + keeps SQLite from making an index of all sales first.
    where +is_sale = 1
    group by 1
)
select channel, orders, units, net_sales, net_sales / nullif(sum(net_sales) over (), 0) as share,
    iif(is_comparable, earlier, null) as before,
    iif(is_comparable, round(net_sales - earlier, 2), null) as change, year_before
from sold, (
    select (select first from spans where back = 1) >= min(order_date) as is_comparable
    from sales_summary_daily)
order by net_sales desc, channel
