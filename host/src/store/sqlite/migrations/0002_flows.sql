-- Open work is found by whose it is: each flow (a tenant's runs of one plugin) is read on its own, and so is each tenant's
-- share of the messages to be sent.

-- One index in place of the one over `seq` alone, because each is paid for by every run twice, at its accept and at its
-- commit. It is written at the end of its flow and emptied from the flow's front, so a long backlog touches no more pages
-- than a short one. The entity at its end lets the store pick one entity's runs without touching the others' rows.
DROP INDEX runs_open;
CREATE INDEX runs_open ON runs (tenant, plugin, seq, entity) WHERE state = 0;

-- NULL for what was settled before this column was there, and is never looked for by it.
ALTER TABLE message_states ADD COLUMN tenant TEXT;
UPDATE message_states SET tenant = (SELECT m.tenant FROM messages m WHERE m.seq = message_states.seq) WHERE step <> 0;
DROP INDEX messages_now;
CREATE INDEX messages_now ON message_states (tenant, seq) WHERE step = 1;
