CREATE TABLE idemkit_records (
  digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 16),
  scope TEXT NOT NULL,
  key TEXT NOT NULL,
  status TEXT NOT NULL
    CHECK (status IN ('claimed', 'succeeded', 'failed', 'unknown', 'released')),
  fingerprint TEXT NOT NULL,
  owner TEXT NOT NULL,
  token INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  taken_over INTEGER NOT NULL,
  lease_ends_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  completed_at INTEGER,
  checkpoint_revision INTEGER,
  checkpoint TEXT,
  note TEXT,
  body TEXT
) STRICT;

CREATE INDEX idemkit_records_expires_at ON idemkit_records (expires_at);
