-- Messages whose time has come are found by whose they are, too: those of one tenant that have to wait are not read over and
-- over before the others'.
DROP INDEX messages_due;
CREATE INDEX messages_due ON message_states (tenant, due) WHERE step = 2;
