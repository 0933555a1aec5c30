-- The first schema. Times are milliseconds since 1970, ids the 16 bytes they are derived as, bodies JSON text.
-- What grows for ever is appended to in order of `seq`, so that a batch of commits touches few pages; what changes often is
-- kept apart from what is large.

CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

-- Figures that a page asks for all the time, kept by the transactions that change them.
CREATE TABLE counters (
  tenant TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL,
  PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- What came in ---------------------------------------------------------------------------------------------------------

CREATE TABLE events (
  seq INTEGER PRIMARY KEY, id BLOB NOT NULL, tenant TEXT NOT NULL, source TEXT NOT NULL, source_id TEXT NOT NULL,
  type TEXT NOT NULL, subject TEXT, time INTEGER NOT NULL, received INTEGER NOT NULL, customer TEXT, data TEXT NOT NULL,
  attributes TEXT,                                    -- a JSON array of pairs; NULL for none
  cause BLOB,                                         -- the run that raised it
  notes TEXT,                                         -- a JSON array; NULL for none
  runs BLOB NOT NULL                                  -- the ids of the runs it set off, one after another
) STRICT;
CREATE INDEX events_of_customer ON events (tenant, customer, seq, type) WHERE customer IS NOT NULL;

-- Says no to the second copy.
CREATE TABLE event_keys (id BLOB PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- What is to be run and was ---------------------------------------------------------------------------------------------

CREATE TABLE runs (
  seq INTEGER PRIMARY KEY, id BLOB NOT NULL, tenant TEXT NOT NULL, plugin TEXT NOT NULL, entity TEXT NOT NULL,
  customer TEXT, kind INTEGER NOT NULL,               -- 0 event, 1 timer, 2 delivery, 3 message
  event INTEGER,                                      -- the event's seq, where one set it off
  payload TEXT,                                       -- what set it off otherwise
  hold_up INTEGER NOT NULL, state INTEGER NOT NULL,   -- 0 open, 1 done, 2 set aside, 3 discarded
  attempts INTEGER NOT NULL, not_before INTEGER NOT NULL, accepted INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX runs_id ON runs (id);
CREATE INDEX runs_open ON runs (seq) WHERE state = 0;
CREATE INDEX runs_set_aside ON runs (tenant, seq) WHERE state = 2;

-- How a run ended or last failed: apart, so that ending a run makes no row grow where it stands.
CREATE TABLE run_results (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, failure TEXT, report TEXT, effects TEXT
) STRICT;

-- What plugins keep -----------------------------------------------------------------------------------------------------

CREATE TABLE entities (
  tenant TEXT NOT NULL, plugin TEXT NOT NULL, entity TEXT NOT NULL, version INTEGER NOT NULL,
  PRIMARY KEY (tenant, plugin, entity)
) STRICT, WITHOUT ROWID;

CREATE TABLE state (
  tenant TEXT NOT NULL, plugin TEXT NOT NULL, entity TEXT NOT NULL, key TEXT NOT NULL,
  value BLOB NOT NULL, customer TEXT, expires INTEGER,
  PRIMARY KEY (tenant, plugin, entity, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE timers (
  tenant TEXT NOT NULL, plugin TEXT NOT NULL, entity TEXT NOT NULL, key TEXT NOT NULL,
  due INTEGER NOT NULL, expires INTEGER, customer TEXT, data TEXT NOT NULL, set_by TEXT NOT NULL,
  set_by_run BLOB NOT NULL, origin BLOB,
  generation INTEGER NOT NULL,                        -- the seq of the run that set it: never the same for two settings
  queued INTEGER NOT NULL,                            -- it was due, and has a run
  PRIMARY KEY (tenant, plugin, entity, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX timers_due ON timers (due) WHERE queued = 0;

-- What is to be sent and was --------------------------------------------------------------------------------------------

-- What was asked for: written once, because it may hold an attachment.
CREATE TABLE messages (
  seq INTEGER PRIMARY KEY, id BLOB NOT NULL, tenant TEXT NOT NULL, customer TEXT, lane TEXT NOT NULL,
  created INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX messages_id ON messages (id);
CREATE INDEX messages_lane ON messages (tenant, lane, seq);

-- How it stands: small, and written at every step.
CREATE TABLE message_states (
  seq INTEGER PRIMARY KEY, revision INTEGER NOT NULL, state TEXT NOT NULL, settled INTEGER NOT NULL,
  cancel INTEGER NOT NULL, ended TEXT, code TEXT, decision TEXT,
  step INTEGER NOT NULL,                              -- 0 nothing, 1 plan it now, 2 look at it when it is due
  due INTEGER
) STRICT;
CREATE INDEX messages_now ON message_states (seq) WHERE step = 1;
CREATE INDEX messages_due ON message_states (due) WHERE step = 2;

CREATE TABLE attempts (
  message INTEGER NOT NULL, no INTEGER NOT NULL, channel TEXT NOT NULL, provider TEXT NOT NULL, account TEXT NOT NULL,
  address TEXT NOT NULL, state TEXT NOT NULL, provider_id TEXT, rendition TEXT NOT NULL, parts INTEGER NOT NULL,
  price_micros INTEGER, planned INTEGER NOT NULL, answered INTEGER, failure TEXT, decision TEXT NOT NULL,
  PRIMARY KEY (message, no)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_provider ON attempts (provider, provider_id) WHERE provider_id IS NOT NULL;

-- The dedupe of receipts and the story of an attempt in one.
CREATE TABLE receipts (
  message INTEGER NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL, code TEXT NOT NULL,
  time INTEGER NOT NULL, received INTEGER NOT NULL, failure TEXT, pricing TEXT,
  PRIMARY KEY (message, attempt, state, code)
) STRICT, WITHOUT ROWID;

-- About attempts that are not known yet. Bounded: the oldest go first.
CREATE TABLE parked_receipts (
  id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, provider TEXT NOT NULL, token TEXT NOT NULL,
  provider_id TEXT NOT NULL, state TEXT NOT NULL, code TEXT NOT NULL, time INTEGER NOT NULL, received INTEGER NOT NULL,
  failure TEXT, pricing TEXT,
  UNIQUE (provider, provider_id, token, tenant, state, code)
) STRICT;
CREATE INDEX parked_token ON parked_receipts (token) WHERE token <> '';

CREATE TABLE dedup_keys (
  tenant TEXT NOT NULL, lane TEXT NOT NULL, plugin TEXT NOT NULL, key TEXT NOT NULL, message BLOB NOT NULL,
  PRIMARY KEY (tenant, lane, plugin, key)
) STRICT, WITHOUT ROWID;

-- What customers wrote --------------------------------------------------------------------------------------------------

CREATE TABLE incoming (
  seq INTEGER PRIMARY KEY, id BLOB NOT NULL, tenant TEXT NOT NULL, customer TEXT, channel TEXT NOT NULL,
  sender TEXT NOT NULL, time INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX incoming_id ON incoming (id);
CREATE INDEX incoming_sender ON incoming (tenant, sender, seq);

-- Whom messages go to ---------------------------------------------------------------------------------------------------

CREATE TABLE customers (
  tenant TEXT NOT NULL, id TEXT NOT NULL, name TEXT, locale TEXT, timezone TEXT, attributes TEXT NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- An address names one customer of a tenant.
CREATE TABLE addresses (
  tenant TEXT NOT NULL, channel TEXT NOT NULL, address TEXT NOT NULL, customer TEXT NOT NULL, position INTEGER NOT NULL,
  last_incoming INTEGER, unusable_until INTEGER,
  PRIMARY KEY (tenant, channel, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX addresses_customer ON addresses (tenant, customer);

CREATE TABLE consents (
  tenant TEXT NOT NULL, customer TEXT NOT NULL, channel TEXT NOT NULL, scope TEXT NOT NULL, granted INTEGER NOT NULL,
  source TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (tenant, customer, channel, scope)
) STRICT, WITHOUT ROWID;

-- Refusals of addresses that belong to nobody we know: kept as a keyed hash, which suppresses without naming.
CREATE TABLE suppressed (
  tenant TEXT NOT NULL, channel TEXT NOT NULL, hash BLOB NOT NULL, scope TEXT NOT NULL, source TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (tenant, channel, hash, scope)
) STRICT, WITHOUT ROWID;
