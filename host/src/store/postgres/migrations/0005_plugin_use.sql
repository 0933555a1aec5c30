-- What plugins have used of what they may: messages to one recipient (`to/…`) and money in one currency (`spent/…`). One row
-- each, written in place; `at` is when it was written last. A host that does not know of it takes no note and bounds nothing.
CREATE TABLE plugin_use (
  tenant text NOT NULL, name text NOT NULL, plugin text NOT NULL, at bigint NOT NULL, body text NOT NULL,
  PRIMARY KEY (tenant, name, plugin)
) WITH (fillfactor = 70);
