"""What lies on disk: each layer's SQLite file as Arrow tables, its commits and digests, the audit log with watermarks and
manifests, the run lock, and files that appear whole. No rule of a step, and no deliveries."""
