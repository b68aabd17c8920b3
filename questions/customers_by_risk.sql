-- title: Customers by risk and value
-- about: How many customers there are of each churn risk and value tier, and what they have bought so far.
-- database: gold
-- columns:
--   customers: How many customers these are.
select churn_risk, value_tier, count(*) as customers, round(sum(lifetime_value), 2) as lifetime_value
from reporting_customer_stats
group by churn_risk, value_tier
order by min(days_since_last_order), min(lifetime_value) desc
