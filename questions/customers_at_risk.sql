-- title: Customers at risk, the most valuable first
-- about: Customers whose last order is more than 30 days ago, by what they have bought so far.
-- database: gold
-- columns:
--   orders: Orders of the customer, cancelled orders included.
select customer_id, first_name, last_name, segment, orders, lifetime_value, last_order_date,
    days_since_last_order, churn_risk, value_tier
from reporting_customer_stats
where churn_risk <> 'LOW'
order by lifetime_value desc, customer_id
limit 50
