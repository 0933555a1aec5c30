-- Messages whose time has come are found by whose they are, too: those of one tenant that have to wait are not read over and
-- over before the others'. A host that does not know of it asks without an index, which is slow and right.
DROP INDEX messages_due;
CREATE INDEX messages_due ON message_states (tenant, due, seq) WHERE step = 2;
