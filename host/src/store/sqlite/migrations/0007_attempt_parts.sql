-- What a provider calls the parts of a long SMS that are sent one by one (SMPP): a receipt names a part, and finds its attempt here.
CREATE TABLE attempt_parts (
  provider TEXT NOT NULL, provider_id TEXT NOT NULL, message INTEGER NOT NULL, no INTEGER NOT NULL,
  PRIMARY KEY (provider, provider_id, message, no)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_parts_of_message ON attempt_parts (message);
