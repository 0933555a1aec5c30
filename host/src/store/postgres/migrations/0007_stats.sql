-- What is counted of messages: a row for each figure of a day, plugin, purpose, channel and country, and each host has a part of
-- its own, so that no two of them write the same row. A host that does not know of it counts nothing.
CREATE TABLE stats (
  tenant text NOT NULL, day bigint NOT NULL, plugin text NOT NULL, purpose text NOT NULL, channel text NOT NULL,
  country text NOT NULL, name text NOT NULL, part bigint NOT NULL, value bigint NOT NULL,
  PRIMARY KEY (tenant, day, plugin, purpose, channel, country, name, part)
) WITH (fillfactor = 70);
-- What an attempt needs for it: country and currency, whether it was taken, when it arrived and what it cost.
ALTER TABLE attempts ADD COLUMN tally text;
-- What providers have said of accounts and templates: their health, a pause, a restriction.
CREATE TABLE notes (
  tenant text NOT NULL, name text NOT NULL, at bigint NOT NULL, body text NOT NULL, PRIMARY KEY (tenant, name)
);
