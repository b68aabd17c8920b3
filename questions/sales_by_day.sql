-- title: Net sales by day
-- about: The net sales of each day, also of days without an order, and the average of the week up to it.
-- database: gold
-- parameters:
--   first: the first day. Without one, 90 days before the last
--   last: the last day. Without one, the last day that has an order
-- columns:
--   weekly_average: Average of net sales over the seven days up to the day, from the shop's first order on.
with recursive asked as (
    select coalesce(nullif(:first, ''), date(last, '-90 days')) as first, last, opened
    from (select coalesce(nullif(:last, ''), max(order_date)) as last, min(order_date) as opened
          from sales_summary_daily)
),
days as (
    select max(date(first, '-6 days'), opened) as day from asked where opened is not null
    union all
    select date(day, '+1 day') from days, asked where day < last
)
select * from (
    select day as order_date, coalesce(orders, 0) as orders, coalesce(net_sales, 0) as net_sales,
        round(avg(coalesce(net_sales, 0)) over (order by day rows 6 preceding), 2) as weekly_average
    from days left join sales_summary_daily on order_date = day)
where order_date between (select first from asked) and (select last from asked)
order by order_date
