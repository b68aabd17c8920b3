-- title: The products that moved most
-- about: The ten products whose net sales rose most against the period before, and the ten whose fell most.
-- database: gold
-- parameters:
--   first: the first day. Without one, 27 days before the last
--   last: the last day. Without one, the last day that has an order
-- columns:
--   units: Units of the period, returns taken off.
--   before: Net sales of as many days right before the period.
--   change: Net sales of the period minus those of the period before.
with asked as (
    select coalesce(nullif(:first, ''), date(last, '-27 days')) as first, last
    from (select coalesce(nullif(:last, ''), max(order_date)) as last from sales_summary_daily)
),
spans as (
    select 0 as back, first, last from asked
    union all select 1, date(first, '-' || (julianday(last) - julianday(first) + 1) || ' days'),
        date(first, '-1 day') from asked
),
sold as (
    select product_id, max(product_name) as product_name, max(category) as category,
        sum(iif(back = 0, quantity, 0)) as units,
        round(sum(iif(back = 0, net_amount, 0)), 2) as net_sales,
        round(sum(iif(back = 1, net_amount, 0)), 2) as before,
        round(sum(iif(back = 0, net_amount, -net_amount)), 2) as change
    from spans cross join reporting_sales_wide on order_date between first and last
    -- The + keeps SQLite from making an index of all sales first.
    where +is_sale = 1 and product_id is not null
    group by product_id
),
-- Nothing has moved against days before the shop's first order.
ranked as (
    select *, row_number() over (order by change desc, product_id) as risen,
        row_number() over (order by change, product_id) as fallen
    from sold
)
select product_id, product_name, category, units, net_sales, before, change
from ranked
where ((change > 0 and risen <= 10) or (change < 0 and fallen <= 10))
    and (select first from spans where back = 1) >= (select min(order_date) from sales_summary_daily)
order by change desc, product_id
