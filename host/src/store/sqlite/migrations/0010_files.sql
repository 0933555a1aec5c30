-- Files beside messages: what customers sent (`incoming/…`), and ids under which providers keep ours (`upload/…`). `due` is when
-- a row is looked at again: to be fetched, or to go.
CREATE TABLE files (
  tenant TEXT NOT NULL, name TEXT NOT NULL, due INTEGER NOT NULL, body TEXT NOT NULL, bytes BLOB NOT NULL,
  PRIMARY KEY (tenant, name)
) STRICT;
CREATE INDEX files_due ON files (due);
