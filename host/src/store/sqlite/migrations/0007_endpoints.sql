-- Where tenants' own systems are told what happens. Of their secrets nothing is kept: they are derived.
CREATE TABLE endpoints (id BLOB NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
-- What each is told: a row for each, written by the transaction that it tells of.
CREATE TABLE notices (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL, tenant TEXT NOT NULL, endpoint BLOB NOT NULL, type TEXT NOT NULL,
  lane TEXT NOT NULL,                                 -- whom it is about: a customer, or a number
  created INTEGER NOT NULL,
  state INTEGER NOT NULL,                             -- 0 waiting, 1 delivered, 2 given up
  due INTEGER, tries TEXT NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX notices_id ON notices (endpoint, id);
CREATE INDEX notices_of ON notices (endpoint, seq);
CREATE INDEX notices_due ON notices (endpoint, due, seq) WHERE state = 0;
