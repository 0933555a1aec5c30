-- What is remembered of each plugin: the permissions that were accepted, and whether it is paused.
CREATE TABLE plugin_records (name TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
