-- Keys of events whose rows have gone by their age, in the order in which they came: so that it is known when a key itself is
-- old. Written by the sweepers alone, so that no event pays for it when it comes in.
CREATE TABLE old_event_keys (seq bigint PRIMARY KEY, id bytea NOT NULL, received bigint NOT NULL);
