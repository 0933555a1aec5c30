-- What a provider calls the parts of a long SMS that are sent one by one (SMPP): a receipt names a part, and finds its attempt here.
-- A host that does not know of it keeps such receipts until they are too old.
CREATE TABLE attempt_parts (
  provider text NOT NULL, provider_id text NOT NULL, message bigint NOT NULL, no integer NOT NULL,
  PRIMARY KEY (provider, provider_id, message, no)
);
CREATE INDEX attempt_parts_of_message ON attempt_parts (message);
