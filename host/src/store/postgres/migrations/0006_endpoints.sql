-- Where tenants' own systems are told what happens. Of their secrets nothing is kept: they are derived. A host that does not know
-- of it tells nobody, so what such a host does while hosts are replaced is not told.
CREATE TABLE endpoints (id bytea PRIMARY KEY, tenant text NOT NULL, body text NOT NULL);
-- Raised by whoever changes an endpoint: what hosts keep of them in memory is good for one revision.
CREATE TABLE endpoint_revision (one boolean PRIMARY KEY CHECK (one), revision bigint NOT NULL);
INSERT INTO endpoint_revision (one, revision) VALUES (true, 1);
-- What each is told: a row for each, written by the transaction that it tells of.
CREATE TABLE notices (
  seq bigserial PRIMARY KEY, id bytea NOT NULL, tenant text NOT NULL, endpoint bytea NOT NULL, type text NOT NULL,
  lane text NOT NULL, created bigint NOT NULL, state smallint NOT NULL, due bigint, tries text NOT NULL, body text NOT NULL
);
CREATE UNIQUE INDEX notices_id ON notices (endpoint, id);
CREATE INDEX notices_of ON notices (endpoint, seq);
CREATE INDEX notices_due ON notices (endpoint, due, seq) WHERE state = 0;
