-- What is remembered of each plugin: the permissions that were accepted, and whether it is paused. A host that does not know of
-- it runs what lies in its own directory, as before.
CREATE TABLE plugin_records (name text PRIMARY KEY, body text NOT NULL);
