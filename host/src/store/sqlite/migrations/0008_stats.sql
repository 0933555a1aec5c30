-- What is counted of messages: a row for each figure of a day, plugin, purpose, channel and country. No row says who anybody is.
CREATE TABLE stats (
  tenant TEXT NOT NULL, day INTEGER NOT NULL, plugin TEXT NOT NULL, purpose TEXT NOT NULL, channel TEXT NOT NULL,
  country TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL,
  PRIMARY KEY (tenant, day, plugin, purpose, channel, country, name)
) STRICT, WITHOUT ROWID;
-- What an attempt needs for it: country and currency, whether it was taken, when it arrived and what it cost.
ALTER TABLE attempts ADD COLUMN tally TEXT;
-- What providers have said of accounts and templates: their health, a pause, a restriction.
CREATE TABLE notes (
  tenant TEXT NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
