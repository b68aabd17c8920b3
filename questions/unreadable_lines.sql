-- title: Lines that could not be read
-- about: Lines of deliveries that are no rows, or have no key, and have not been corrected.
-- database: raw
select source_filename, source_row, rule, reason, raw_text, quarantined_timestamp, batch_id
from quarantine
where resolved_batch_id is null
order by quarantine_id desc
