-- What plugins have used of what they may: messages to one recipient (`to/…`) and money in one currency (`spent/…`). One row
-- each, written in place; `at` is when it was written last.
CREATE TABLE plugin_use (
  tenant TEXT NOT NULL, name TEXT NOT NULL, plugin TEXT NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (tenant, name, plugin)
) STRICT, WITHOUT ROWID;
