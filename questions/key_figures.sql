-- title: Key figures of a day, the days before it and its month
-- about: Sales, orders and customers of a day, the last 7 and 28 days and the month so far, each beside the
--   period before and the same period a year before.
-- database: gold
-- parameters:
--   day: the day up to which is counted, such as 2025-12-30. Without one, the last day that has an order
--   periods: how many days each period has, such as 1,7,28
-- columns:
--   period: Which days are counted.
--   compared: The period itself (now), as many days right before it (before), or 364 days earlier, on the
--     same weekdays (a year before). A single day is also beside the same weekday a week before. The month so
--     far is beside the same days of the month before and of the same month a year before. What began before
--     the shop's first order is left out.
--   first_day: The first day of the period.
--   last_day: The last day of the period.
--   orders: Orders placed in the period, cancelled orders included.
--   average_order: Net sales divided by the orders that were not cancelled.
--   discount_share: Discounts divided by gross sales.
--   returned_share: Returned amount divided by net sales before returns.
--   cancelled_share: Cancelled amount divided by net sales and cancelled amount together.
--   new_customers: Customers whose first order is in the period.
--   returning_customers: Customers who ordered something in the period and had ordered before it.
with opened as (
    select min(order_date) as first_day, max(order_date) as last_day from sales_summary_daily
),
asked as (
    select coalesce(nullif(:day, ''), last_day) as day from opened
),
lengths as (
    select value as days from json_each('[' || coalesce(nullif(:periods, ''), '1,7,28') || ']')
),
spans as (
    select days as place, iif(days = 1, 'the day', 'last ' || days || ' days') as period, compared,
        date(day, '-' || (days - 1 + back) || ' days') as first_day,
        date(day, '-' || back || ' days') as last_day
    from asked, (
        select days, 'now' as compared, 0 as back from lengths
        union all select days, 'before', days from lengths
        union all select days, 'a week before', 7 from lengths where days = 1
        union all select days, 'a year before', 364 from lengths)
    union all
    select 1000000, 'month so far', compared, first_day,
        min(date(first_day, '+' || (strftime('%d', day) - 1) || ' days'),
            date(first_day, '+1 month', '-1 day'))
    from (
        select day, 'now' as compared, date(day, 'start of month') as first_day from asked
        union all select day, 'before', date(day, 'start of month', '-1 month') from asked
        union all select day, 'a year before', date(day, 'start of month', '-1 year') from asked)
),
comparable as (
    select spans.* from spans, opened where compared = 'now' or spans.first_day >= opened.first_day
),
sold as (
    select place, compared, sum(net_sales) as net_sales, sum(orders) as orders,
        sum(orders - cancelled_orders) as kept_orders, sum(units) as units, sum(gross_sales) as gross_sales,
        sum(discounts) as discounts, sum(returned_amount) as returned_amount,
        sum(cancelled_orders) as cancelled_orders, sum(cancelled_amount) as cancelled_amount,
        sum(total_sales) as total_sales, sum(payments_received) as payments_received
    from comparable as span join sales_summary_daily on order_date between span.first_day and span.last_day
    group by place, compared
),
-- Each line is read once, although the periods overlap. The customers are read through, in one piece: to look
-- each one up takes twice as long.
visits as materialized (
    select seen.order_date, seen.customer_id, stats.first_order_date
    from reporting_customer_stats as stats
    cross join (
        select distinct day.order_date, line.customer_id
        from (select distinct order_date from comparable
              join sales_summary_daily on order_date between first_day and last_day) as day
        cross join reporting_sales_wide as line on line.order_date = day.order_date
    ) as seen on seen.customer_id = stats.customer_id
),
met as (
    select place, compared, count(distinct customer_id) as known
    from comparable as span
    join visits on order_date between span.first_day and span.last_day
        and visits.first_order_date < span.first_day
    group by place, compared
),
won as (
    select place, compared, sum(customers) as new
    from comparable as span
    join (select first_order_date, count(*) as customers from reporting_customer_stats
          where first_order_date >= (select min(first_day) from comparable) group by first_order_date)
        on first_order_date between span.first_day and span.last_day
    group by place, compared
)
select period, compared, span.first_day, span.last_day, round(coalesce(net_sales, 0), 2) as net_sales,
    coalesce(orders, 0) as orders, round(net_sales / nullif(kept_orders, 0), 2) as average_order,
    round(coalesce(units, 0), 3) as units, round(coalesce(discounts, 0), 2) as discounts,
    discounts / nullif(gross_sales, 0) as discount_share,
    round(coalesce(returned_amount, 0), 2) as returned_amount,
    returned_amount / nullif(net_sales + returned_amount, 0) as returned_share,
    coalesce(cancelled_orders, 0) as cancelled_orders,
    round(coalesce(cancelled_amount, 0), 2) as cancelled_amount,
    cancelled_amount / nullif(net_sales + cancelled_amount, 0) as cancelled_share,
    coalesce(new, 0) as new_customers, coalesce(known, 0) as returning_customers,
    round(coalesce(total_sales, 0), 2) as total_sales,
    round(coalesce(payments_received, 0), 2) as payments_received
from comparable as span
left join sold using (place, compared)
left join met using (place, compared)
left join won using (place, compared)
where span.last_day is not null
order by place, compared = 'a year before', compared = 'a week before', compared = 'before'
