-- title: The best customers
-- about: The fifty customers with the highest lifetime value, and how long ago they ordered.
-- database: gold
-- columns:
--   orders: Orders of the customer, cancelled orders included.
select customer_id, first_name, last_name, segment, orders, lifetime_value, average_order_value,
    last_order_date, days_since_last_order, churn_risk, value_tier
from reporting_customer_stats
order by lifetime_value desc, customer_id
limit 50
