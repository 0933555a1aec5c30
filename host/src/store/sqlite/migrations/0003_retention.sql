-- Keys of events whose rows have gone by their age, in the order in which they came: so that it is known when a key itself is
-- old. Written by the sweeper alone, so that no event pays for it when it comes in.
CREATE TABLE old_event_keys (seq INTEGER PRIMARY KEY, id BLOB NOT NULL, received INTEGER NOT NULL) STRICT;
