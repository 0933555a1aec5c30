// A packed package brings the contract along; in the repository it stands where everybody shares it.
import { cpSync, existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const shared = fileURLToPath(new URL('../../../wit', import.meta.url));
if (existsSync(shared)) cpSync(shared, fileURLToPath(new URL('../wit', import.meta.url)), { recursive: true });
