-- title: Customers by risk and value
-- about: How many customers there are of each churn risk and value tier, and what they have bought so far.
-- database: gold
-- columns:
--   customers: How many customers these are.
select churn_risk, value_tier, count(*) as customers, round(sum(lifetime_value), 2) as lifetime_value
from reporting_customer_stats
group by churn_risk, value_tier
order by min(case churn_risk when 'HIGH' then 1 when 'MEDIUM' then 2 else 3 end), max(lifetime_value) desc
