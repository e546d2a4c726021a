"""Settings that are known and without effect: those of parts to come, and those that older set-ups still carry."""

from __future__ import annotations

from kuzu_node.config.setting import Later

LATER: tuple[Later, ...] = (
    Later(name="KUZU_API_KEY_SECRET", meaning="keys from Secrets Manager", refused=True),
    Later(name="KUZU_TLS_CERT", meaning="TLS", refused=True),
    Later(name="KUZU_TLS_KEY", meaning="TLS", refused=True),
    Later(name="KUZU_TLS_CLIENT_CA", meaning="client certificates", refused=True),
    Later(name="KUZU_REVOKED_KEYS_FILE", meaning="revocation of scoped keys", refused=True),
    Later(name="KUZU_RATE_LIMIT", meaning="requests a second for each key", refused=True),
    Later(name="KUZU_AUDIT", meaning="audit log", refused=True),
    Later(name="KUZU_SIGNING_SECRET", meaning="scoped keys"),
    Later(name="KUZU_KEY_OVERLAP_SECONDS", meaning="rotation of a stored secret"),
    Later(name="KUZU_IDEMPOTENCY_HOURS", meaning="remembered outcomes of writes"),
    Later(name="KUZU_INGEST_PATH", meaning="loads from files on the server"),
    Later(name="KUZU_STAGING_MB", meaning="loads as tasks"),
    Later(name="KUZU_INGEST_CONCURRENCY", meaning="loads as tasks"),
    Later(name="KUZU_INGEST_QUEUE_LENGTH", meaning="loads as tasks"),
    Later(name="KUZU_TASK_RETENTION_HOURS", meaning="tasks"),
    Later(name="KUZU_BACKUP_KEY", meaning="backups"),
    Later(name="KUZU_BACKUP_KEEP", meaning="backups"),
    Later(name="KUZU_BACKUP_KEEP_DAYS", meaning="backups"),
    Later(name="KUZU_BACKUP_SCHEDULE", meaning="backups"),
    Later(name="KUZU_TRASH_HOURS", meaning="deleted databases that can be brought back"),
    Later(name="KUZU_SNAPSHOT_SOURCE", meaning="replicas"),
    Later(name="KUZU_SNAPSHOT_INTERVAL", meaning="replicas"),
    Later(name="KUZU_WAL_ARCHIVE", meaning="archive of the logs"),
    Later(name="KUZU_WAL_ARCHIVE_SECONDS", meaning="archive of the logs"),
    Later(name="KUZU_VERIFY_SCHEDULE", meaning="verification"),
    Later(name="KUZU_HTTP3", meaning="HTTP/3"),
    Later(name="KUZU_CLOUDWATCH", meaning="metrics in CloudWatch"),
    Later(name="OTEL_SERVICE_NAME", meaning="tracing"),
    Later(name="OTEL_EXPORTER_OTLP_ENDPOINT", meaning="tracing"),
    Later(name="AWS_DEFAULT_REGION", meaning="loads and backups in S3"),
    Later(name="AWS_ENDPOINT_URL", meaning="loads and backups in S3"),
    Later(name="AWS_S3_BUCKET", meaning="loads and backups in S3"),
)

# Accepted for the sake of set-ups that were made for other servers of this API; they never have an effect.
IGNORED: tuple[str, ...] = ("DATABASE_URL", "KUZU_ACCESS_PATTERN")
