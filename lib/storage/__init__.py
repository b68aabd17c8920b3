"""What is on disk: each layer's SQLite file as Arrow tables, its commits and digests, the audit log with
watermarks and manifests, the run lock, and files that are written whole or not at all. No rule of a step is
here, and nothing reads a delivery.
"""
