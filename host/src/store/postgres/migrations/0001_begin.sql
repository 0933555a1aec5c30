-- The first schema: the same rows as in the SQLite store, with the shard that says whose work a row is.
-- Times are milliseconds since 1970, ids the 16 bytes they are derived as, bodies JSON text.

CREATE TABLE meta (name text PRIMARY KEY, value bytea NOT NULL);

-- Numbers that only rise. Without a cache, so that what is accepted after an acknowledgement has a higher one on every host.
CREATE SEQUENCE events_seq;
CREATE SEQUENCE runs_seq;
CREATE SEQUENCE messages_seq;
CREATE SEQUENCE incoming_seq;

-- Figures. Each host adds to a part of its own: one row for all would be a queue for their commits.
CREATE TABLE counters (
  tenant text NOT NULL, name text NOT NULL, part bigint NOT NULL, value bigint NOT NULL,
  PRIMARY KEY (tenant, name, part)
) WITH (fillfactor = 50);

-- Who does the work --------------------------------------------------------------------------------------------------

-- A host that runs, by a number that no other start of a host has.
CREATE TABLE hosts (
  id bytea PRIMARY KEY, name text NOT NULL, version text NOT NULL, started timestamptz NOT NULL,
  expires timestamptz NOT NULL                          -- its lease: database time
) WITH (fillfactor = 50);

CREATE TABLE shards (
  shard smallint PRIMARY KEY, host bytea, since timestamptz
) WITH (fillfactor = 50);
INSERT INTO shards (shard) SELECT generate_series(0, 1023);

-- How fast accounts may send, over all hosts: the time up to which places have been given away.
CREATE TABLE paces (
  account text PRIMARY KEY, arrival_us bigint NOT NULL
) WITH (fillfactor = 50);

-- What came in -------------------------------------------------------------------------------------------------------

CREATE TABLE events (
  seq bigint PRIMARY KEY, id bytea NOT NULL, tenant text NOT NULL, source text NOT NULL, source_id text NOT NULL,
  type text NOT NULL, subject text, time bigint NOT NULL, received bigint NOT NULL, customer text, data text NOT NULL,
  attributes text, cause bytea, notes text, runs bytea NOT NULL
);
CREATE INDEX events_of_customer ON events (tenant, customer, seq) WHERE customer IS NOT NULL;

CREATE TABLE event_keys (id bytea PRIMARY KEY, seq bigint NOT NULL);

-- What is to be run and was ------------------------------------------------------------------------------------------

CREATE TABLE runs (
  seq bigint PRIMARY KEY, id bytea NOT NULL, tenant text NOT NULL, plugin text NOT NULL, entity text NOT NULL,
  customer text, kind smallint NOT NULL, event bigint, payload text, hold_up boolean NOT NULL,
  state smallint NOT NULL, attempts integer NOT NULL, not_before bigint NOT NULL, accepted bigint NOT NULL,
  shard smallint NOT NULL
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX runs_id ON runs (id);
CREATE INDEX runs_open ON runs (tenant, plugin, seq) WHERE state = 0;
CREATE INDEX runs_open_of_entity ON runs (tenant, plugin, entity, seq) WHERE state = 0;
CREATE INDEX runs_set_aside ON runs (tenant, seq) WHERE state = 2;

CREATE TABLE run_results (
  seq bigint PRIMARY KEY, at bigint NOT NULL, failure text, report text, effects text
);

-- What plugins keep --------------------------------------------------------------------------------------------------

CREATE TABLE entities (
  tenant text NOT NULL, plugin text NOT NULL, entity text NOT NULL, version bigint NOT NULL,
  PRIMARY KEY (tenant, plugin, entity)
) WITH (fillfactor = 80);

CREATE TABLE state (
  tenant text NOT NULL, plugin text NOT NULL, entity text NOT NULL, key text NOT NULL,
  value bytea NOT NULL, customer text, expires bigint,
  PRIMARY KEY (tenant, plugin, entity, key)
) WITH (fillfactor = 80);

CREATE TABLE timers (
  tenant text NOT NULL, plugin text NOT NULL, entity text NOT NULL, key text NOT NULL,
  due bigint NOT NULL, expires bigint, customer text, data text NOT NULL, set_by text NOT NULL,
  set_by_run bytea NOT NULL, origin bytea, generation bigint NOT NULL, queued boolean NOT NULL,
  PRIMARY KEY (tenant, plugin, entity, key)
) WITH (fillfactor = 90);
CREATE INDEX timers_due ON timers (due) WHERE NOT queued;

-- What is to be sent and was -----------------------------------------------------------------------------------------

CREATE TABLE messages (
  seq bigint PRIMARY KEY, id bytea NOT NULL, tenant text NOT NULL, customer text, lane text NOT NULL,
  created bigint NOT NULL, body text NOT NULL
);
CREATE UNIQUE INDEX messages_id ON messages (id);
CREATE INDEX messages_lane ON messages (tenant, lane, seq);

CREATE TABLE message_states (
  seq bigint PRIMARY KEY, tenant text NOT NULL, shard smallint NOT NULL, revision bigint NOT NULL, state text NOT NULL,
  settled boolean NOT NULL, cancel boolean NOT NULL, ended text, code text, decision text,
  step smallint NOT NULL,                               -- 0 nothing, 1 plan it now, 2 look at it when it is due
  due bigint
) WITH (fillfactor = 60);
CREATE INDEX messages_now ON message_states (tenant, seq) WHERE step = 1;
CREATE INDEX messages_due ON message_states (due) WHERE step = 2;

CREATE TABLE attempts (
  message bigint NOT NULL, no integer NOT NULL, channel text NOT NULL, provider text NOT NULL, account text NOT NULL,
  address text NOT NULL, state text NOT NULL, provider_id text, rendition text NOT NULL, parts integer NOT NULL,
  price_micros bigint, planned bigint NOT NULL, answered bigint, failure text, decision text NOT NULL,
  PRIMARY KEY (message, no)
) WITH (fillfactor = 80);
CREATE INDEX attempts_provider ON attempts (provider, provider_id) WHERE provider_id IS NOT NULL;

CREATE TABLE receipts (
  message bigint NOT NULL, attempt integer NOT NULL, state text NOT NULL, code text NOT NULL,
  time bigint NOT NULL, received bigint NOT NULL, failure text, pricing text,
  PRIMARY KEY (message, attempt, state, code)
);

CREATE TABLE parked_receipts (
  id bigserial PRIMARY KEY, tenant text NOT NULL, provider text NOT NULL, token text NOT NULL,
  provider_id text NOT NULL, state text NOT NULL, code text NOT NULL, time bigint NOT NULL, received bigint NOT NULL,
  failure text, pricing text,
  UNIQUE (provider, provider_id, token, tenant, state, code)
);
CREATE INDEX parked_token ON parked_receipts (token) WHERE token <> '';

CREATE TABLE dedup_keys (
  tenant text NOT NULL, lane text NOT NULL, plugin text NOT NULL, key text NOT NULL, message bytea NOT NULL,
  PRIMARY KEY (tenant, lane, plugin, key)
);

-- What customers wrote -----------------------------------------------------------------------------------------------

CREATE TABLE incoming (
  seq bigint PRIMARY KEY, id bytea NOT NULL, tenant text NOT NULL, customer text, channel text NOT NULL,
  sender text NOT NULL, time bigint NOT NULL, body text NOT NULL
);
CREATE UNIQUE INDEX incoming_id ON incoming (id);
CREATE INDEX incoming_sender ON incoming (tenant, sender, seq);

-- Whom messages go to ------------------------------------------------------------------------------------------------

CREATE TABLE customers (
  tenant text NOT NULL, id text NOT NULL, name text, locale text, timezone text, attributes text NOT NULL,
  created bigint NOT NULL, updated bigint NOT NULL,
  PRIMARY KEY (tenant, id)
);

CREATE TABLE addresses (
  tenant text NOT NULL, channel text NOT NULL, address text NOT NULL, customer text NOT NULL, position integer NOT NULL,
  last_incoming bigint, unusable_until bigint,
  PRIMARY KEY (tenant, channel, address)
);
CREATE INDEX addresses_customer ON addresses (tenant, customer);

CREATE TABLE consents (
  tenant text NOT NULL, customer text NOT NULL, channel text NOT NULL, scope text NOT NULL, granted boolean NOT NULL,
  source text NOT NULL, at bigint NOT NULL,
  PRIMARY KEY (tenant, customer, channel, scope)
);

CREATE TABLE suppressed (
  tenant text NOT NULL, channel text NOT NULL, hash bytea NOT NULL, scope text NOT NULL, source text NOT NULL,
  at bigint NOT NULL,
  PRIMARY KEY (tenant, channel, hash, scope)
);
