-- title: Rows that were set aside
-- about: Rows that are in raw but not in curated, because they break a rule, and have not been corrected.
-- database: curated
select table_name, record_key, rule, reason, source_filename, source_row, raw_text, quarantined_timestamp,
    batch_id
from quarantine
where resolved_batch_id is null
order by quarantine_id desc
