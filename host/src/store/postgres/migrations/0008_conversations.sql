-- With whom there are conversations: the number of the last that came from an address, and of the last that was read by a person.
CREATE TABLE conversations (
  tenant text NOT NULL, sender text NOT NULL, last_seq bigint NOT NULL, read_seq bigint NOT NULL DEFAULT 0,
  free_until bigint,                                    -- what goes there is free until then: they came by an advertisement
  PRIMARY KEY (tenant, sender)
) WITH (fillfactor = 80);
CREATE INDEX conversations_latest ON conversations (tenant, last_seq);
-- What came before is counted as read: nobody waits for a mark on it. What a host of the version before takes meanwhile is listed
-- with the next message from the same address.
INSERT INTO conversations (tenant, sender, last_seq, read_seq)
  SELECT tenant, sender, max(seq), max(seq) FROM incoming WHERE sender <> '' GROUP BY tenant, sender;
ALTER TABLE addresses ADD COLUMN free_until bigint;
