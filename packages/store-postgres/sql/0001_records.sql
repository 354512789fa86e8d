CREATE TABLE idemkit_records (
  digest uuid NOT NULL PRIMARY KEY,
  scope text NOT NULL,
  key text NOT NULL,
  status text NOT NULL,
  fingerprint text NOT NULL,
  owner text NOT NULL,
  token bigint NOT NULL,
  attempt integer NOT NULL,
  taken_over boolean NOT NULL,
  lease_ends_at bigint NOT NULL,
  expires_at bigint NOT NULL,
  created_at bigint NOT NULL,
  completed_at bigint,
  checkpoint_revision bigint,
  checkpoint text,
  note text,
  body text
) WITH (fillfactor = 80);

CREATE INDEX idemkit_records_expires_at ON idemkit_records (expires_at);
