-- title: The last runs
-- about: When the last runs were, how much they read and how each of their steps ended.
-- database: audit
-- columns:
--   started: When the run's first step began, in UTC.
--   ended: When its last step ended, in UTC.
--   steps: Each step of the run and its status.
select batch_id, min(start_time) as started, max(end_time) as ended, sum(rows_processed) as rows_processed,
    sum(rows_quarantined) as rows_quarantined, group_concat(process_name || ' ' || status, ', ') as steps
from pipeline_execution_log
group by batch_id
order by batch_id desc
limit 50
