-- title: The last failures
-- about: The steps that failed or died last, and why.
-- database: audit
select start_time, process_name, status, error_message, batch_id
from pipeline_execution_log
where status in ('FAILED', 'DIED')
order by execution_id desc
limit 50
