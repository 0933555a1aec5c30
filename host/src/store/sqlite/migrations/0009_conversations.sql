-- With whom there are conversations: the number of the last that came from an address, and of the last that was read by a person.
-- Without it the latest of each would have to be looked for among all that was ever written.
CREATE TABLE conversations (
  tenant TEXT NOT NULL, sender TEXT NOT NULL, last_seq INTEGER NOT NULL, read_seq INTEGER NOT NULL DEFAULT 0,
  free_until INTEGER,                                 -- what goes there is free until then: they came by an advertisement
  PRIMARY KEY (tenant, sender)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversations_latest ON conversations (tenant, last_seq);
-- What came before is counted as read: nobody waits for a mark on it.
INSERT INTO conversations (tenant, sender, last_seq, read_seq)
  SELECT tenant, sender, max(seq), max(seq) FROM incoming WHERE sender <> '' GROUP BY tenant, sender;
ALTER TABLE addresses ADD COLUMN free_until INTEGER;
