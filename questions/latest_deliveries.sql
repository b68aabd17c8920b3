-- title: The latest deliveries
-- about: The files that were read last, and how many of their rows were loaded.
-- database: raw
select source_filename, ingestion_timestamp, rows, appended, unchanged, duplicates, quarantined, deleted,
    notes, batch_id
from deliveries
order by delivery_id desc
limit 50
