-- Files beside messages: what customers sent (`incoming/…`), and ids under which providers keep ours (`upload/…`). `due` is when
-- a row is looked at again: to be fetched, or to go. A host that does not know of it fetches and keeps nothing.
CREATE TABLE files (
  tenant text NOT NULL, name text NOT NULL, due bigint NOT NULL, body text NOT NULL, bytes bytea NOT NULL,
  PRIMARY KEY (tenant, name)
);
CREATE INDEX files_due ON files (due);
